#!/bin/sh
# Creates the tables of a directory that export_all.sh wrote, where they are missing, and stores their rows. Rows that
# exist are replaced; importing again after a failure is harmless.
#
#   META=10.0.0.1:34601 docs/examples/scripts/import_all.sh /backup/2030-01-02
set -eu
pegasus=${PEGASUS:-pegasus}
meta=${META:-127.0.0.1:34601}
dir=${1:?"write the directory to import from"}

while read -r table partitions replicas; do
  $pegasus shell --meta "$meta" -e "
    create $table -p $partitions -r $replicas
    use $table
    import \"$dir/$table.jsonl\"
  " < /dev/null
done < "$dir/tables.txt"
echo "Imported $(wc -l < "$dir/tables.txt") tables from $dir"
