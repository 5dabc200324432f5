#!/bin/sh
# embed.sh FOLDER - writes the page as C to stdout: one document in five pieces, because the
# Content-Security-Policy names the style and the script by their hashes.
#
# The modules become one: imports and exports of our own go, and page.js, which begins everything,
# comes last. Needs od, sed and grep alone; nothing is fetched.
set -eu
cd "$1"
export LC_ALL=C

piece() {
    printf '\nconst unsigned char %s[] = {\n' "$1"
    od -An -v -tu1 | sed -e 's/[0-9][0-9]*/&,/g'
    printf '};\nconst size_t %s_len = sizeof(%s);\n' "$1" "$1"
}

script() {
    for module in dom.js [!dp]*.js page.js; do
        # imports span one line each; what stays of a module is its declarations
        sed -e '/^import .* from "\.\/[a-z]*\.js";$/d' -e 's/^export //' "$module"
    done
}

# the end of an element inside of it, or a module that is still needed, would break the page
if script | grep -nE '</|<!--|^(import|export) ' >&2 || grep -n '</' page.css >&2; then
    echo "embed.sh: the lines above cannot stand in the page" >&2
    exit 1
fi
echo '/* made by gateway/admin/page/embed.sh */'
echo '#include "admin/admin_priv.h"'
sed -e '/^<style>/,$d' index.html | piece page_head
piece page_style <page.css
sed -e '1,/^<style>/d' -e '/^<script /,$d' index.html | piece page_body
script | piece page_script
sed -e '1,/^<script /d' index.html | piece page_tail
