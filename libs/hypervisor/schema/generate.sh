#!/bin/sh
# Regenerates src/generated from the schemas. Needs flatc (Debian: flatbuffers-compiler); the build does not.
set -eu
cd "$(dirname "$0")"
out=../src/generated
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flatc --ts -o "$work" ./*.fbs
rm -rf "$out"
mkdir -p "$out"
# One flat folder; file extensions, as Node's ESM resolution wants them; unused imports of flatc are not ours to fix.
for file in "$work"/hyperlight/generated/*.ts; do
  { echo '// @ts-nocheck'; sed -E "s#from '\.\./\.\./hyperlight/generated/([^']*)'#from './\1.js'#" "$file"; } \
    > "$out/$(basename "$file")"
done
