#!/bin/sh
# Makes caml_dask/viewer/page/vendor again from the versions that package-lock.json pins: needs npm.
set -eu
cd "$(dirname "$0")"
vendor=../page/vendor
npm ci --ignore-scripts --no-audit --no-fund
mkdir -p "$vendor"
node node_modules/esbuild/install.js
npx esbuild entry.js --bundle --format=iife --global-name=ol --minify --target=es2022 --legal-comments=inline --outfile="$vendor/ol.js"
for package in ol rbush quickselect; do
    printf '%s %s\n\n' "$package" "$(node -p "require('./node_modules/$package/package.json').version")"
    cat "node_modules/$package/LICENSE"* 
    printf '\n'
done > "$vendor/LICENSES.txt"
ls -l "$vendor"
