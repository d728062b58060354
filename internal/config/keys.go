package config

import "reflect"

// Keys returns every key that the file may hold, as sets.<name>.subnets, in the
// order of the types.
func Keys() []string {
	var out []string
	for _, t := range []struct {
		prefix string
		of     reflect.Type
	}{{"", reflect.TypeFor[Config]()}, {"sets.<name>.", reflect.TypeFor[Set]()}, {"jobs.<name>.", reflect.TypeFor[Job]()}} {
		for f := range t.of.Fields() {
			if name := f.Tag.Get("yaml"); name != "" {
				out = append(out, t.prefix+name)
			}
		}
	}
	return out
}
