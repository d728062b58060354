Drawbridge's programs contain the modules below, each under the licence that follows its name.
Their sources are the Go modules of these names and versions.
{{range .}}
--------------------------------------------------------------------------------
{{.Name}} {{.Version}} ({{.LicenseName}})
--------------------------------------------------------------------------------

{{.LicenseText}}
{{end}}
