module drawbridge

go 1.26.0

require github.com/alecthomas/kong v1.17.0

require github.com/goccy/go-yaml v1.19.2 // indirect
