// Package mirror makes a replica of git repositories: in CodeCommit, in another git
// repository, or as bundles in S3. It compares refs first, uses git for everything
// that moves objects, and reports success only after it has read the replica's refs
// back.
//
// A run keeps its state in one bucket: the cache of each bare repository (cache.go),
// the record of the replica's last state (record.go), and a lock while it works
// (lock.go). Each can be lost or half-written; the next run rebuilds it.
package mirror
