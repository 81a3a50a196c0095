/** A fault that the person at the terminal can mend: its message is the one line to print. */
export class InstallError extends Error {
  override readonly name = "InstallError";
}

const network =
  /NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|Network is unreachable|Connection refused|ConnectionReset|from versions: none/;

/** The one line that says why an installer failed, from all that it printed. */
export function whyInstallFailed(what: string, output: string, folder: string): InstallError {
  if (/No space left on device|Errno 28|ENOSPC/.test(output)) {
    return new InstallError(`no disk space left for ${what} below ${folder}`);
  }
  const unreachable = network.exec(output)?.[0];
  if (unreachable !== undefined) {
    return new InstallError(
      `cannot download ${what} from the Python package index (${unreachable}); ` +
        "check the network, or set PIP_INDEX_URL, HTTPS_PROXY or PIP_CERT as your network needs them",
    );
  }
  const lines = output.split("\n").map((line) => line.trim());
  const telling = lines.findLast((line) => /^(ERROR|error)/.test(line)) ?? lines.findLast((line) => line !== "");
  return new InstallError(`cannot install ${what}: ${telling ?? "the installer did not say why"}`);
}
