#!/bin/sh
# Called by mmdebstrap: finishes the root folder of the mirror's image. Its packages are unpacked, not configured, as no
# program of another architecture can run here: what their scripts would write is written by this one.
set -eu
export LC_ALL=C
root=$1
# Scanners read here which packages there are.
for package in "$root"/var/cache/apt/archives/*.deb; do
  case ${package##*/} in perl* | libperl*) continue ;; esac # what they hold is left out
  dpkg-deb --field "$package" | sed '1a Status: install ok installed'
  echo
done >"$root/var/lib/dpkg/status"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
echo 'root:x:0:0:root:/root:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'mirror:x:10001:10001::/tmp:/usr/sbin/nologin' >>"$root/etc/passwd"
printf 'root:x:0:\nmirror:x:10001:\n' >"$root/etc/group"
# A run starts git, ssh, sh and what the hook of git calls: nothing else may be run, and nothing as another user.
find "$root" -xdev -type f -perm /6000 -exec chmod u-s,g-s {} +
mkdir -p "$root/proc" "$root/sys" # where containers find theirs
rm -rf "$root"/etc/cron.daily "$root"/lib/systemd "$root"/usr/lib/systemd "$root"/usr/share/bash-completion
