package main

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Who a token speaks for.
type identity struct {
	issuer  string
	subject string
	user    string
	groups  []string
	expires time.Time
}

type tokenClaims struct {
	jwt.RegisteredClaims
	User   string   `json:"preferred_username"`
	Groups []string `json:"groups"`
}

// Checks tokens of one issuer and remembers the good ones until they expire.
type verifier struct {
	parser *jwt.Parser
	keys   map[string]any
	// By the token's SHA-256; nil where nothing is to be remembered.
	known *lru.Cache[[sha256.Size]byte, *identity]
}

func newVerifier(keys map[string]any, issuer, audience string, remembered int) (*verifier, error) {
	made := &verifier{
		keys: keys,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{"RS256", "ES256"}),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(audience),
			jwt.WithExpirationRequired(),
		),
	}
	if remembered == 0 {
		return made, nil
	}
	var err error
	made.known, err = lru.New[[sha256.Size]byte, *identity](remembered)
	return made, err
}

func (v *verifier) key(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	key, ok := v.keys[kid]
	if !ok {
		return nil, fmt.Errorf("no key %q", kid)
	}
	return key, nil
}

// Also answers the token's fingerprint, which says nothing of its content.
func (v *verifier) verify(token string, now time.Time) (*identity, [sha256.Size]byte, error) {
	hash := sha256.Sum256([]byte(token))
	if v.known != nil {
		if who, ok := v.known.Get(hash); ok && now.Before(who.expires) {
			return who, hash, nil
		}
	}
	var claims tokenClaims
	if _, err := v.parser.ParseWithClaims(token, &claims, v.key); err != nil {
		return nil, hash, err
	}
	who := &identity{
		issuer:  claims.Issuer,
		subject: claims.Subject,
		user:    claims.User,
		groups:  claims.Groups,
		expires: claims.ExpiresAt.Time,
	}
	if who.user == "" {
		who.user = who.subject
	}
	if v.known != nil {
		v.known.Add(hash, who)
	}
	return who, hash, nil
}
