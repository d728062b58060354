// Package mirror makes a replica of git repositories: in CodeCommit, in another git
// repository, or as bundles in S3. It compares refs first, drives the git program
// for everything that moves objects, and calls nothing a success before the
// replica's refs were read back.
//
// What a run leaves behind lies in one bucket: the cache of each bare repository
// (cache.go), the record of what the replica last held (record.go), and a lock while
// it is at work (lock.go). Each can be lost or be found half-written; the next run
// makes it anew.
package mirror
