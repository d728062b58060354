package kernel

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The protocol that older clients speak to CloudWatch: the same calls and members as in
// JSON, as a form, answered in XML.
//
// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
const cloudWatchXML = "http://monitoring.amazonaws.com/doc/2010-08-01/"

// formNumbers, formFlags and formTimes are the members of CloudWatch's input that are
// not strings: a form does not carry types.
var (
	formNumbers = []string{
		"Value", "Values", "Counts", "Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "MaxRecords",
		"StorageResolution", "SampleCount", "Sum", "Minimum", "Maximum",
	}
	formFlags = []string{"ActionsEnabled"}
	formTimes = []string{"Timestamp", "StartTime", "EndTime"}
)

// jsonOfForm turns a form into the equivalent JSON. It returns an error for a member
// with an invalid value.
func jsonOfForm(form url.Values) ([]byte, error) {
	root := map[string]any{}
	for _, key := range SortedKeys(form) {
		if key == "Action" || key == "Version" {
			continue
		}
		path := strings.Split(key, ".")
		name := path[len(path)-1]
		if len(path) > 2 && path[len(path)-2] == "member" {
			name = path[len(path)-3]
		}
		if slices.Contains(path, "Dimensions") || slices.Contains(path, "Tags") {
			name = "" // whose values are texts
		}
		v, err := memberOfForm(name, form.Get(key))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if v == "" && len(path) == 1 {
			continue // an empty list is sent as a bare name
		}
		at := root
		for _, step := range path[:len(path)-1] {
			next, ok := at[step].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[step] = next
			}
			at = next
		}
		at[path[len(path)-1]] = v
	}
	return json.Marshal(unnumbered(root))
}

func memberOfForm(name, text string) (any, error) {
	switch {
	case slices.Contains(formNumbers, name):
		return strconv.ParseFloat(text, 64)
	case slices.Contains(formFlags, name):
		return strconv.ParseBool(text)
	case slices.Contains(formTimes, name):
		t, err := time.Parse(time.RFC3339, text)
		return float64(t.UnixMilli()) / 1e3, err
	}
	return text, nil
}

// unnumbered turns {"member": {"1": a, "2": b}} into [a, b], at any depth.
func unnumbered(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	if list, ok := m["member"].(map[string]any); ok && len(m) == 1 {
		out := []any{}
		for n := 1; list[strconv.Itoa(n)] != nil; n++ {
			out = append(out, unnumbered(list[strconv.Itoa(n)]))
		}
		return out
	}
	for k, x := range m {
		m[k] = unnumbered(x)
	}
	return m
}

// answerQuery turns an answer in JSON into the equivalent XML.
func (r *reply) answerQuery(c *Call) {
	var v map[string]any
	if len(r.body) > 0 && json.Unmarshal(r.body, &v) != nil {
		return // it is not one of CloudWatch's
	}
	code := r.header.Get("x-amzn-query-error")
	r.header = http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {c.RequestID}}
	var b bytes.Buffer
	if r.status >= http.StatusBadRequest {
		kind := "Sender"
		if r.status >= http.StatusInternalServerError {
			kind = "Receiver"
		}
		name := fmt.Sprint(v["__type"])
		name = name[strings.LastIndex(name, "#")+1:]
		if before, _, ok := strings.Cut(code, ";"); ok {
			name = before
		}
		message, _ := v["message"].(string)
		fmt.Fprintf(&b,
			`<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error>`+
				`<RequestId>%s</RequestId></ErrorResponse>`, cloudWatchXML, kind, name, escape(message), c.RequestID)
		r.body = b.Bytes()
		return
	}
	fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, c.Action, cloudWatchXML)
	if len(v) > 0 {
		writeXML(&b, c.Action+"Result", v)
	}
	fmt.Fprintf(&b, `<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, c.RequestID,
		c.Action)
	r.body = b.Bytes()
}

// writeXML writes a value of JSON as an element.
func writeXML(b *bytes.Buffer, name string, v any) {
	fmt.Fprintf(b, "<%s>", name)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range SortedKeys(v) {
			writeXML(b, k, v[k])
		}
	case []any:
		for _, x := range v {
			writeXML(b, "member", x)
		}
	case float64:
		if strings.HasSuffix(name, "Timestamp") {
			b.WriteString(time.UnixMilli(int64(v * 1e3)).UTC().Format("2006-01-02T15:04:05.000Z"))
		} else {
			b.WriteString(strconv.FormatFloat(v, 'f', -1, 64))
		}
	default:
		_ = xml.EscapeText(b, fmt.Append(nil, v)) // a bytes.Buffer never fails
	}
	fmt.Fprintf(b, "</%s>", name)
}
