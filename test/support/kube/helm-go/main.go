// Renders and checks one Helm chart without Helm's command line and without a cluster: what `helm template` and `helm lint`
// do, from the same packages. Reads a request (JSON) from standard input, writes an answer (JSON) to standard output.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

type request struct {
	Chart     string `json:"chart"`
	Release   string `json:"release"`
	Namespace string `json:"namespace"`
	// Kubernetes' version, such as "v1.36.3"; `helm template` takes Helm's own.
	KubeVersion string `json:"kubeVersion"`
	// Served group versions besides Helm's own list, for .Capabilities.APIVersions.
	APIVersions []string `json:"apiVersions"`
	// One render each.
	Values []map[string]interface{} `json:"values"`
	Lint   bool                     `json:"lint"`
}

type file struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

type answer struct {
	// By path; empty ones left out. NOTES.txt is among them.
	Files []file `json:"files"`
	// What lint says, one line each: "[WARNING] templates/x.yaml: ...".
	Lint []string `json:"lint"`
	// Why it cannot be rendered: the schema's faults, or a template's.
	Error string `json:"error,omitempty"`
}

func main() {
	var asked request
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, "the request:", err)
		os.Exit(2)
	}
	answers := make([]answer, 0, len(asked.Values))
	for _, values := range asked.Values {
		answers = append(answers, one(asked, values))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, "the answer:", err)
		os.Exit(1)
	}
}

func one(asked request, values map[string]interface{}) answer {
	found := answer{Files: []file{}, Lint: []string{}}
	if asked.Lint {
		found.Lint = faults(asked, values)
	}
	files, err := render(asked, values)
	if err != nil {
		found.Error = err.Error()
	} else {
		found.Files = files
	}
	return found
}

func render(asked request, values map[string]interface{}) ([]file, error) {
	// Loaded anew each time: rendering changes the chart's own values.
	chart, err := loader.Load(asked.Chart)
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	version, err := chartutil.ParseKubeVersion(asked.KubeVersion)
	if err != nil {
		return nil, err
	}
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(capabilities.APIVersions, asked.APIVersions...)
	if chart.Metadata.KubeVersion != "" && !chartutil.IsCompatibleRange(chart.Metadata.KubeVersion, version.String()) {
		return nil, fmt.Errorf("chart requires kubeVersion: %s, not %s", chart.Metadata.KubeVersion, version)
	}
	release := chartutil.ReleaseOptions{Name: asked.Release, Namespace: asked.Namespace, Revision: 1, IsInstall: true}
	// Checks values.schema.json, too.
	all, err := chartutil.ToRenderValues(chart, values, release, capabilities)
	if err != nil {
		return nil, err
	}
	texts, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	files := []file{}
	for path, text := range texts {
		if strings.TrimSpace(text) != "" {
			files = append(files, file{Path: strings.TrimPrefix(path, chart.Name()+"/"), Text: text})
		}
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, nil
}

func faults(asked request, values map[string]interface{}) []string {
	version, err := chartutil.ParseKubeVersion(asked.KubeVersion)
	if err != nil {
		return []string{err.Error()}
	}
	lines := []string{}
	for _, message := range lint.AllWithKubeVersion(asked.Chart, values, asked.Namespace, version).Messages {
		if message.Severity >= support.WarningSev {
			lines = append(lines, message.Error())
		}
	}
	return lines
}
