package kernel

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

// PathName returns the last part of the request's path, unescaped.
func (c *Call) PathName() string {
	path := c.Request.URL.EscapedPath()
	name, err := url.PathUnescape(path[strings.LastIndex(path, "/")+1:])
	if err != nil {
		return ""
	}
	return name
}

// NotFound is the error of REST services for a missing resource.
func NotFound(format string, args ...any) *APIError {
	return Errorf("ResourceNotFoundException", format, args...).WithStatus(http.StatusNotFound)
}

// APIError is an AWS error response.
type APIError struct {
	Code    string
	Message string
	// Status is the HTTP status; 0 means 400.
	Status int
	// QueryCode is the code in the x-amzn-query-error header of services that
	// once spoke the query protocol.
	QueryCode string
	// Extra are members of the error besides its message.
	Extra map[string]any
}

func (e *APIError) Error() string { return e.Code + ": " + e.Message }

// Errorf returns an error of AWS with its code and message.
func Errorf(code, format string, args ...any) *APIError {
	return &APIError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithStatus sets the HTTP status.
func (e *APIError) WithStatus(n int) *APIError {
	e.Status = n
	return e
}

// Call is one request to the simulated AWS.
type Call struct {
	sim    *Kernel
	API    *API
	Action string
	// accessKey identifies the caller, work is the calling invocation; nil for any
	// other caller.
	AccessKey string
	Work      Work
	Request   *http.Request
	Body      []byte
	Form      url.Values
	RequestID string
	cbor      bool // the caller speaks CBOR; see wire_cbor.go
	Query     bool // the caller speaks to CloudWatch in forms; see wire_query.go
}

// CallTo is a call that the simulation makes itself.
func (s *Kernel) CallTo(service, action string, body []byte) *Call {
	return &Call{sim: s, API: s.services[service], Action: action, Body: body}
}

// Perform makes a call on behalf of another service, with its input as the API's members,
// whose first letters may be in either case, and returns the answer's members by the names
// that they have here. The lock is held.
func (s *Kernel) Perform(service, action string, in map[string]any) (map[string]any, error) {
	return s.PerformAs("", service, action, in)
}

// PerformAs is Perform by a service that has assumed a role, whose policies have to allow
// it; "" may do everything.
func (s *Kernel) PerformAs(role, service, action string, in map[string]any) (map[string]any, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	c := s.CallTo(service, action, body)
	if c.API.Protocol == Query {
		c.Form = url.Values{}
		formOf(c.Form, "", in)
	}
	if role != "" {
		c.AccessKey = s.Assumed(role)
		if e := s.refuse(c); e != nil {
			return nil, e
		}
	}
	out, err := c.API.Ops[action](c)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	return members, json.Unmarshal(text, &members)
}

// formOf writes members as a form of the query protocol.
func formOf(form url.Values, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			formOf(form, strings.TrimPrefix(prefix+"."+k, "."), x)
		}
	case []any:
		for i, x := range v {
			formOf(form, fmt.Sprintf("%s.member.%d", prefix, i+1), x)
		}
	default:
		form.Set(prefix, fmt.Sprint(v))
	}
}

// protocol is the wire protocol of a service.
type protocol int

// These are the protocols of AWS services.
const (
	JSON10 protocol = iota
	JSON11
	RESTJSON
	Query
	EC2Query
	RESTXML
)

// API is one AWS service: its operations by name.
type API struct {
	Name     string // as in the credential scope of a signature
	Prefix   string // of X-Amz-Target
	Protocol protocol
	XMLNS    string
	// space qualifies error codes of the JSON protocols.
	Space string
	Ops   map[string]Operation
	// endpoint is the service whose VPC endpoint tasks reach it by; empty where the
	// simulation has none.
	Endpoint string
	// route finds the operation of a REST service by method and path.
	Route func(r *http.Request, path []string) string
	// asks returns the IAM questions of a call; nil asks for the action on
	// everything.
	Asks func(*Call) []Question
}

// Operation answers a call with a value to be encoded, or an *apiError. The
// simulation's lock is held; an operation that waits releases it meanwhile.
type Operation func(*Call) (any, error)

// Op turns a function on typed input and output into an operation.
func Op[I, O any](f func(*Call, *I) (*O, error)) Operation {
	return func(c *Call) (any, error) {
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

// None is the output of operations with an empty reply.
type None struct{}

// Unsupported reports a parameter that the sandbox does not simulate. AWS has no
// such error: a parameter must not be accepted and then ignored.
func (c *Call) Unsupported(name string) *APIError {
	return Errorf("ValidationException", "the sandbox does not simulate the parameter %s of %s:%s", name, c.API.Name,
		c.Action)
}

func (c *Call) decode(in any) error {
	switch c.API.Protocol {
	case Query, EC2Query:
		used := map[string]bool{"Action": true, "Version": true}
		if err := c.decodeForm(reflect.ValueOf(in).Elem(), "", used); err != nil {
			return err
		}
		for k := range c.Form {
			if !used[k] {
				return c.Unsupported(k)
			}
		}
		return nil
	case RESTXML:
		return nil
	}
	if len(bytes.TrimSpace(c.Body)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(c.Body))
	dec.DisallowUnknownFields()
	err := dec.Decode(in)
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return c.Unsupported(strings.Trim(name, `"`))
	}
	return Errorf("SerializationException", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// decodeForm fills a struct from a form. A field's name on the wire is its query
// tag, or its Go name. Lists of the EC2 protocol are numbered, those of the query
// protocol have ".member" in between.
func (c *Call) decodeForm(v reflect.Value, prefix string, used map[string]bool) error {
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

func (c *Call) decodeField(v reflect.Value, name string, used map[string]bool) error {
	switch v.Kind() {
	case reflect.Slice:
		if c.API.Protocol == Query {
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
	text, ok := c.Form[name]
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
		return Errorf("ValidationError", "%q is not a value for %s", text[0], name)
	}
	return nil
}

// has reports whether the form has name itself or anything below it. The empty
// list that the AWS CLI and SDKs send as a bare name counts as seen.
func (c *Call) has(name string, used map[string]bool) bool {
	if _, ok := c.Form[name]; ok {
		return true
	}
	if base, ok := strings.CutSuffix(name, ".member.1"); ok {
		if _, bare := c.Form[base]; bare {
			used[base] = true
		}
	}
	for k := range c.Form {
		if strings.HasPrefix(k, name+".") {
			return true
		}
	}
	return false
}

// Items is a list of the EC2 protocol; an empty one is an empty element.
type Items[T any] struct {
	Item []T `xml:"item"`
}

// Members is a list of the query protocol.
type Members[T any] struct {
	Member []T `xml:"member"`
}

// Stamp is an instant: epoch seconds in JSON, ISO 8601 in XML.
type Stamp struct{ time.Time }

// MarshalJSON writes seconds since 1970.
func (s Stamp) MarshalJSON() ([]byte, error) {
	f := math.Round(float64(s.UnixMicro())/1e3) / 1e3
	return strconv.AppendFloat(nil, f, 'f', -1, 64), nil
}

// MarshalText writes ISO 8601, for XML.
func (s Stamp) MarshalText() ([]byte, error) {
	return []byte(s.UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

// StampOf returns nil for the zero time.
func StampOf(t time.Time) *Stamp {
	if t.IsZero() {
		return nil
	}
	return &Stamp{t}
}

// reply is an encoded reply.
type reply struct {
	status int
	header http.Header
	body   []byte
	// more follows the body: an object of S3.
	more [][]byte
}

// encode turns an operation's answer into bytes. DynamoDB's answers carry a
// checksum, which SDKs verify.
func (c *Call) encode(out any, err error) reply {
	r := c.encodeBody(out, err)
	if c.API.Name == "dynamodb" {
		r.header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(r.body)), 10))
	}
	return r
}

func (c *Call) encodeBody(out any, err error) reply {
	r := reply{status: http.StatusOK, header: http.Header{}}
	r.header.Set("x-amzn-RequestId", c.RequestID)
	if raw, ok := out.(*RawReply); ok && err == nil {
		for k, v := range raw.Header {
			r.header.Set(k, v)
		}
		r.status = raw.Status
		r.body = raw.Body
		r.more = raw.More
		return r
	}
	var failure *APIError
	if err != nil && !errors.As(err, &failure) {
		failure = Errorf("InternalFailure", "the sandbox failed: %v", err).WithStatus(http.StatusInternalServerError)
	}
	if failure != nil {
		c.encodeError(&r, failure)
		return r
	}
	switch c.API.Protocol {
	case Query, EC2Query, RESTXML:
		r.header.Set("Content-Type", "text/xml;charset=UTF-8")
		r.body = c.encodeXML(out)
		return r
	case RESTJSON:
		r.header.Set("Content-Type", "application/json")
	case JSON10:
		r.header.Set("Content-Type", "application/x-amz-json-1.0")
	case JSON11:
		r.header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	if s, ok := out.(interface{ HTTPStatus() int }); ok {
		r.status = s.HTTPStatus()
	}
	if _, empty := out.(*None); empty && c.API.Protocol == JSON11 {
		r.body = []byte("{}")
		if c.API.Name == "events" || c.API.Name == "logs" {
			r.body = nil
		}
		return r
	}
	if _, empty := out.(*None); empty && c.API.Name == "dynamodb" {
		r.body = []byte("{}")
		return r
	}
	if _, empty := out.(*None); empty &&
		(c.API.Protocol == JSON10 || c.API.Protocol == RESTJSON && r.status == http.StatusNoContent) {
		return r
	}
	r.body, err = json.Marshal(out)
	if err != nil {
		c.encodeError(&r,
			Errorf("InternalFailure", "encode the answer: %v", err).WithStatus(http.StatusInternalServerError))
	}
	return r
}

// RawReply is an answer that an operation encodes itself.
type RawReply struct {
	Status int
	Header map[string]string
	Body   []byte
	More   [][]byte
}

func (c *Call) encodeXML(out any) []byte {
	var b bytes.Buffer
	enc := func(name string, attrs []xml.Attr) {
		e := xml.NewEncoder(&b)
		if err := e.EncodeElement(out, xml.StartElement{Name: xml.Name{Local: name}, Attr: attrs}); err != nil {
			panic(fmt.Sprintf("encode %s of %s: %v", name, c.API.Name, err)) // a type of ours that XML cannot hold
		}
	}
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	if c.API.Protocol == EC2Query {
		enc(c.Action+"Response", []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: c.API.XMLNS}})
		open := "<" + c.Action + `Response xmlns="` + c.API.XMLNS + `">`
		return bytes.Replace(b.Bytes(), []byte(open), []byte(open+"<requestId>"+c.RequestID+"</requestId>"), 1)
	}
	fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, c.Action, c.API.XMLNS)
	if _, empty := out.(*None); !empty {
		enc(c.Action+"Result", nil)
	}
	fmt.Fprintf(&b, `<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, c.RequestID,
		c.Action)
	return b.Bytes()
}

func (c *Call) encodeError(r *reply, e *APIError) {
	r.status = http.StatusBadRequest
	if e.Status != 0 {
		r.status = e.Status
	}
	switch c.API.Protocol {
	case EC2Query:
		r.header.Set("Content-Type", "text/xml;charset=UTF-8")
		r.body = fmt.Appendf(nil,
			`<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
				`<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>`+
				`%s</RequestID></Response>`, e.Code, escape(e.Message), c.RequestID)
	case Query:
		kind := "Sender"
		if r.status >= 500 {
			kind = "Receiver"
		}
		r.header.Set("Content-Type", "text/xml")
		r.body = fmt.Appendf(nil,
			`<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error>`+
				`<RequestId>%s</RequestId></ErrorResponse>`, c.API.XMLNS, kind, e.Code, escape(e.Message), c.RequestID)
	case RESTXML:
		r.header.Set("Content-Type", "application/xml")
		if c.API.XMLNS != "" { // of all but S3
			r.body = fmt.Appendf(nil,
				`<?xml version="1.0"?>`+"\n"+
					`<ErrorResponse xmlns="`+c.API.XMLNS+`"><Error><Type>`+
					`Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId>`+
					`</ErrorResponse>`, e.Code, escape(e.Message), c.RequestID)
			return
		}
		r.body = fmt.Appendf(nil,
			`<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
				`<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>`, e.Code,
			escape(e.Message), c.RequestID)
	default:
		c.encodeJSONError(r, e)
	}
}

func (c *Call) encodeJSONError(r *reply, e *APIError) {
	body := map[string]any{}
	for k, v := range e.Extra {
		body[k] = v
	}
	key := "message"
	if c.API.Name == "scheduler" || e.Code == "TransactionCanceledException" ||
		c.API.Name == "lambda" && e.Status == http.StatusNotFound {
		key = "Message"
	}
	if e.Message != "" {
		body[key] = e.Message
	}
	r.header.Set("Content-Type", "application/x-amz-json-1.1")
	switch c.API.Protocol {
	case RESTJSON:
		r.header.Set("Content-Type", "application/json")
		r.header.Set("x-amzn-ErrorType", e.Code)
		if c.API.Name == "lambda" {
			body["Type"] = "User"
		}
	case JSON10:
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
func (c *Call) qualified(code string) string {
	switch {
	case code == "ValidationException" && c.API.Name == "dynamodb":
		return "com.amazon.coral.validate#" + code
	case code == "UnknownOperationException" && c.API.Name != "dynamodb" || code == "SerializationException" ||
		code == "UnrecognizedClientException" || code == "ExpiredTokenException":
		return "com.amazon.coral.service#" + code
	case c.API.Space != "":
		return c.API.Space + "#" + code
	}
	return code
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer never fails
	return b.String()
}
