package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// signature is how a plain hook signs.
func signature(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}
