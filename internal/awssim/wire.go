package awssim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// apiError is an error as AWS answers it.
type apiError struct {
	Code    string
	Message string
	// Status is the HTTP status; 0 means 400.
	Status int
	// QueryCode is the code in the x-amzn-query-error header of services that
	// once spoke the query protocol.
	QueryCode string
	// Extra are members of the error beside its message.
	Extra map[string]any
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func errf(code, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *apiError) status(n int) *apiError {
	e.Status = n
	return e
}

// call is one request to the simulated AWS.
type call struct {
	sim     *Sim
	service *service
	action  string
	// accessKey names who calls, work the invocation that does; nil for any other.
	accessKey string
	work      Work
	request   *http.Request
	body      []byte
	form      url.Values
	requestID string
	cbor      bool // the caller speaks CBOR; see wire_cbor.go
	query     bool // the caller speaks to CloudWatch in forms; see wire_query.go
}

// callTo is a call that the simulation makes itself.
func (s *Sim) callTo(service, action string, body []byte) *call {
	return &call{sim: s, service: s.services[service], action: action, body: body}
}

// protocol is how a service speaks.
type protocol int

const (
	json10 protocol = iota
	json11
	restJSON
	query
	ec2Query
	restXML
)

// service is one AWS service: its operations by name.
type service struct {
	name     string // as in the credential scope of a signature
	prefix   string // of X-Amz-Target
	protocol protocol
	xmlns    string
	// space qualifies error codes of the JSON protocols.
	space string
	ops   map[string]operation
	// endpoint is the service whose VPC endpoint tasks reach it by; empty where the
	// simulation has none.
	endpoint string
	// route finds the operation of a REST service by method and path.
	route func(r *http.Request, path []string) string
	// asks returns what a call asks of IAM; nil asks for the action on everything.
	asks func(*call) []authorisation
}

// operation answers a call with a value to be encoded, or an *apiError. The
// simulation's lock is held; an operation that waits gives it up meanwhile.
type operation func(*call) (any, error)

// op makes an operation of a function on typed input and output.
func op[I, O any](f func(*call, *I) (*O, error)) operation {
	return func(c *call) (any, error) {
		in := new(I)
		if err := c.decode(in); err != nil {
			return nil, err
		}
		out, err := f(c, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// none is the output of operations that answer with nothing.
type none struct{}

// unsupported reports a parameter that the sandbox does not simulate. AWS has no
// such error: a parameter must not be taken and then ignored.
func (c *call) unsupported(name string) *apiError {
	return errf("ValidationException", "the sandbox does not simulate the parameter %s of %s:%s", name, c.service.name, c.action)
}

func (c *call) decode(in any) error {
	switch c.service.protocol {
	case query, ec2Query:
		used := map[string]bool{"Action": true, "Version": true}
		if err := c.decodeForm(reflect.ValueOf(in).Elem(), "", used); err != nil {
			return err
		}
		for k := range c.form {
			if !used[k] {
				return c.unsupported(k)
			}
		}
		return nil
	case restXML:
		return nil
	}
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(c.body))
	dec.DisallowUnknownFields()
	err := dec.Decode(in)
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return c.unsupported(strings.Trim(name, `"`))
	}
	return errf("SerializationException", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// decodeForm fills a struct from a form. A field's name on the wire is its query
// tag, or its Go name. Lists of the EC2 protocol are numbered, those of the query
// protocol have ".member" in between.
func (c *call) decodeForm(v reflect.Value, prefix string, used map[string]bool) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if err := c.decodeForm(v.Field(i), prefix, used); err != nil {
				return err
			}
			continue
		}
		name := f.Tag.Get("query")
		if name == "" {
			name = f.Name
		}
		if err := c.decodeField(v.Field(i), prefix+name, used); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) decodeField(v reflect.Value, name string, used map[string]bool) error {
	switch v.Kind() {
	case reflect.Slice:
		if c.service.protocol == query {
			name += ".member"
		}
		for n := 1; c.has(name+"."+strconv.Itoa(n), used); n++ {
			item := reflect.New(v.Type().Elem()).Elem()
			if err := c.decodeField(item, name+"."+strconv.Itoa(n), used); err != nil {
				return err
			}
			v.Set(reflect.Append(v, item))
		}
		return nil
	case reflect.Struct:
		return c.decodeForm(v, name+".", used)
	case reflect.Pointer:
		if !c.has(name, used) {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return c.decodeField(v.Elem(), name, used)
	}
	text, ok := c.form[name]
	if !ok {
		return nil
	}
	used[name] = true
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(text[0])
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text[0])
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text[0], 10, 64)
		v.SetInt(n)
	default:
		return fmt.Errorf("form field %s has kind %s", name, v.Kind())
	}
	if err != nil {
		return errf("ValidationError", "%q is not a value for %s", text[0], name)
	}
	return nil
}

// has says whether the form has name itself or anything below it. The empty list
// that the AWS CLI and SDKs send as a bare name counts as seen.
func (c *call) has(name string, used map[string]bool) bool {
	if _, ok := c.form[name]; ok {
		return true
	}
	if base, ok := strings.CutSuffix(name, ".member.1"); ok {
		if _, bare := c.form[base]; bare {
			used[base] = true
		}
	}
	for k := range c.form {
		if strings.HasPrefix(k, name+".") {
			return true
		}
	}
	return false
}

// items is a list of the EC2 protocol; an empty one is an empty element.
type items[T any] struct {
	Item []T `xml:"item"`
}

// members is a list of the query protocol.
type members[T any] struct {
	Member []T `xml:"member"`
}

// stamp is an instant: epoch seconds in JSON, ISO 8601 in XML.
type stamp struct{ time.Time }

func (s stamp) MarshalJSON() ([]byte, error) {
	f := math.Round(float64(s.UnixMicro())/1e3) / 1e3
	return strconv.AppendFloat(nil, f, 'f', -1, 64), nil
}

func (s stamp) MarshalText() ([]byte, error) {
	return []byte(s.UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

// stampOf returns nil for the zero time.
func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return &stamp{t}
}

// reply is an answer on its way out.
type reply struct {
	status int
	header http.Header
	body   []byte
	// more follows the body: an object of S3.
	more [][]byte
}

// encode turns an operation's answer into bytes. DynamoDB's answers carry a
// checksum, which SDKs verify.
func (c *call) encode(out any, err error) reply {
	r := c.encodeBody(out, err)
	if c.service.name == "dynamodb" {
		r.header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(r.body)), 10))
	}
	return r
}

func (c *call) encodeBody(out any, err error) reply {
	r := reply{status: http.StatusOK, header: http.Header{}}
	r.header.Set("x-amzn-RequestId", c.requestID)
	if raw, ok := out.(*rawReply); ok && err == nil {
		for k, v := range raw.header {
			r.header.Set(k, v)
		}
		r.status, r.body, r.more = raw.status, raw.body, raw.more
		return r
	}
	var failure *apiError
	if err != nil && !errors.As(err, &failure) {
		failure = errf("InternalFailure", "the sandbox failed: %v", err).status(http.StatusInternalServerError)
	}
	if failure != nil {
		c.encodeError(&r, failure)
		return r
	}
	switch c.service.protocol {
	case query, ec2Query, restXML:
		r.header.Set("Content-Type", "text/xml;charset=UTF-8")
		r.body = c.encodeXML(out)
		return r
	case restJSON:
		r.header.Set("Content-Type", "application/json")
	case json10:
		r.header.Set("Content-Type", "application/x-amz-json-1.0")
	case json11:
		r.header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	if s, ok := out.(interface{ HTTPStatus() int }); ok {
		r.status = s.HTTPStatus()
	}
	if _, empty := out.(*none); empty && c.service.protocol == json11 {
		r.body = []byte("{}")
		if c.service.name == "events" || c.service.name == "logs" {
			r.body = nil
		}
		return r
	}
	if _, empty := out.(*none); empty && c.service.name == "dynamodb" {
		r.body = []byte("{}")
		return r
	}
	if _, empty := out.(*none); empty && (c.service.protocol == json10 || c.service.protocol == restJSON && r.status == http.StatusNoContent) {
		return r
	}
	r.body, err = json.Marshal(out)
	if err != nil {
		c.encodeError(&r, errf("InternalFailure", "encode the answer: %v", err).status(http.StatusInternalServerError))
	}
	return r
}

// rawReply is an answer that an operation encodes itself.
type rawReply struct {
	status int
	header map[string]string
	body   []byte
	more   [][]byte
}

func (c *call) encodeXML(out any) []byte {
	var b bytes.Buffer
	enc := func(name string, attrs []xml.Attr) {
		e := xml.NewEncoder(&b)
		if err := e.EncodeElement(out, xml.StartElement{Name: xml.Name{Local: name}, Attr: attrs}); err != nil {
			panic(fmt.Sprintf("encode %s of %s: %v", name, c.service.name, err)) // a type of ours that XML cannot hold
		}
	}
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	if c.service.protocol == ec2Query {
		enc(c.action+"Response", []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: c.service.xmlns}})
		open := "<" + c.action + `Response xmlns="` + c.service.xmlns + `">`
		return bytes.Replace(b.Bytes(), []byte(open), []byte(open+"<requestId>"+c.requestID+"</requestId>"), 1)
	}
	fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, c.action, c.service.xmlns)
	if _, empty := out.(*none); !empty {
		enc(c.action+"Result", nil)
	}
	fmt.Fprintf(&b, `<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, c.requestID, c.action)
	return b.Bytes()
}

func (c *call) encodeError(r *reply, e *apiError) {
	r.status = http.StatusBadRequest
	if e.Status != 0 {
		r.status = e.Status
	}
	switch c.service.protocol {
	case ec2Query:
		r.header.Set("Content-Type", "text/xml;charset=UTF-8")
		r.body = fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>`, e.Code, escape(e.Message), c.requestID)
	case query:
		kind := "Sender"
		if r.status >= 500 {
			kind = "Receiver"
		}
		r.header.Set("Content-Type", "text/xml")
		r.body = fmt.Appendf(nil, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, c.service.xmlns, kind, e.Code, escape(e.Message), c.requestID)
	case restXML:
		r.header.Set("Content-Type", "application/xml")
		if c.service.name == "route53" {
			r.body = fmt.Appendf(nil, `<?xml version="1.0"?>`+"\n"+`<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, e.Code, escape(e.Message), c.requestID)
			return
		}
		r.body = fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>`, e.Code, escape(e.Message), c.requestID)
	default:
		c.encodeJSONError(r, e)
	}
}

func (c *call) encodeJSONError(r *reply, e *apiError) {
	body := map[string]any{}
	for k, v := range e.Extra {
		body[k] = v
	}
	key := "message"
	if c.service.name == "scheduler" || e.Code == "TransactionCanceledException" || c.service.name == "lambda" && e.Status == http.StatusNotFound {
		key = "Message"
	}
	if e.Message != "" {
		body[key] = e.Message
	}
	r.header.Set("Content-Type", "application/x-amz-json-1.1")
	switch c.service.protocol {
	case restJSON:
		r.header.Set("Content-Type", "application/json")
		r.header.Set("x-amzn-ErrorType", e.Code)
		if c.service.name == "lambda" {
			body["Type"] = "User"
		}
	case json10:
		r.header.Set("Content-Type", "application/x-amz-json-1.0")
		fallthrough
	default:
		body["__type"] = c.qualified(e.Code)
	}
	if e.QueryCode != "" {
		r.header.Set("x-amzn-query-error", e.QueryCode+";Sender")
	}
	r.body, _ = json.Marshal(body) // maps of strings and of our own types always encode
}

// qualified returns an error code as the service's JSON protocol writes it.
func (c *call) qualified(code string) string {
	switch {
	case code == "ValidationException" && c.service.name == "dynamodb":
		return "com.amazon.coral.validate#" + code
	case code == "UnknownOperationException" && c.service.name != "dynamodb" || code == "SerializationException" || code == "UnrecognizedClientException" || code == "ExpiredTokenException":
		return "com.amazon.coral.service#" + code
	case c.service.space != "":
		return c.service.space + "#" + code
	}
	return code
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer never fails
	return b.String()
}
