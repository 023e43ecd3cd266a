#!/bin/sh
# Writes every table into a directory: TABLE.jsonl, one row per line, and tables.txt with names, partition counts and
# replica counts. It is no snapshot: rows written meanwhile may or may not be in it.
#
#   META=10.0.0.1:34601 docs/examples/scripts/export_all.sh /backup/2030-01-02
#
# PEGASUS is how the program is called: "pegasus", or "deno task" in a checkout.
set -eu
pegasus=${PEGASUS:-pegasus}
meta=${META:-127.0.0.1:34601}
dir=${1:?"write the directory to export to"}

mkdir -p "$dir"
$pegasus shell --meta "$meta" -e ls | awk 'NR > 1 { print $3, $4, $5 }' > "$dir/tables.txt.part"
while read -r table _; do
  # Under its name only when it is complete.
  $pegasus shell --meta "$meta" -e "use $table; export \"$dir/$table.jsonl.part\" -f jsonl" < /dev/null
  mv "$dir/$table.jsonl.part" "$dir/$table.jsonl"
done < "$dir/tables.txt.part"
mv "$dir/tables.txt.part" "$dir/tables.txt"
echo "Exported $(wc -l < "$dir/tables.txt") tables to $dir"
