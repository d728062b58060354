package kernel

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"

	"github.com/aws/smithy-go/encoding/cbor"
)

// The protocol that AWS's newest clients speak to CloudWatch: the same calls and members
// as in JSON, in CBOR, with the operation in the path.
//
// Source: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
const cborProtocol = "rpc-v2-cbor"

// routeCBOR turns a call in CBOR into the equivalent JSON.
func (s *Kernel) routeCBOR(c *Call, r *http.Request) *APIError {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[0] != "service" || parts[2] != "operation" {
		return Errorf("UnknownOperationException", "").WithStatus(http.StatusNotFound)
	}
	svc, ok := s.targets[parts[1]]
	if !ok {
		return Errorf("UnknownOperationException", "").WithStatus(http.StatusNotFound)
	}
	c.API = svc
	c.Action = parts[3]
	c.cbor = true
	if len(c.Body) == 0 {
		return nil
	}
	v, err := cbor.Decode(c.Body)
	if err != nil {
		return Errorf("SerializationException", "%v", err)
	}
	if c.Body, err = json.Marshal(fromCBOR(v)); err != nil {
		return Errorf("SerializationException", "%v", err)
	}
	return nil
}

func fromCBOR(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		m := map[string]any{}
		for k, x := range v {
			m[k] = fromCBOR(x)
		}
		return m
	case cbor.List:
		l := []any{}
		for _, x := range v {
			l = append(l, fromCBOR(x))
		}
		return l
	case cbor.String:
		return string(v)
	case cbor.Slice:
		return []byte(v)
	case cbor.Bool:
		return bool(v)
	case cbor.Uint:
		return uint64(v)
	case cbor.NegInt:
		return -float64(v)
	case cbor.Float32:
		return float64(v)
	case cbor.Float64:
		return float64(v)
	case *cbor.Tag: // an instant, in seconds
		return fromCBOR(v.Value)
	}
	return nil
}

// toCBOR turns an answer in JSON into CBOR.
func toCBOR(name string, v any) cbor.Value {
	switch v := v.(type) {
	case map[string]any:
		m := cbor.Map{}
		for k, x := range v {
			m[k] = toCBOR(k, x)
		}
		return m
	case []any:
		l := cbor.List{}
		for _, x := range v {
			l = append(l, toCBOR(name, x))
		}
		return l
	case string:
		return cbor.String(v)
	case bool:
		return cbor.Bool(v)
	case float64:
		switch {
		case strings.HasSuffix(name, "Timestamp"):
			return &cbor.Tag{ID: 1, Value: cbor.Float64(v)}
		case v == math.Trunc(v) && v >= 0 && v < 1<<53 && name != "Threshold":
			return cbor.Uint(v)
		}
		return cbor.Float64(v)
	}
	return &cbor.Nil{}
}

// answerCBOR turns an answer in JSON into the equivalent CBOR.
func (r *reply) answerCBOR() {
	r.header.Set("Content-Type", "application/cbor")
	r.header.Set("Smithy-Protocol", cborProtocol)
	var v any = map[string]any{}
	if len(r.body) > 0 && json.Unmarshal(r.body, &v) != nil {
		v = map[string]any{}
	}
	r.body = cbor.Encode(toCBOR("", v))
}
