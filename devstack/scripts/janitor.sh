# Removes a throw-away instance once its owner is gone, however it went: the owner holds the other
# end of standard input. Arguments: DIRECTORY, which holds NAME.pid files ("pid start-time").
trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/*.pid; do
    [ -f "$file" ] || continue
    read -r pid started <"$file"
    [ -r "/proc/$pid/stat" ] || continue
    # The 22nd field is the start time; the command's name (the second) may hold spaces.
    now=$(sed 's/^.*) //' "/proc/$pid/stat" | cut -d ' ' -f 20)
    [ "$now" = "$started" ] && kill -KILL "$pid"
done
# A test may have put an engine's directory on a disk of its own.
for place in "$1"/*; do
    mountpoint -q "$place" && umount -l "$place"
done
# What was killed may still be on its way out, on a busy machine for a while.
tries=0
until rm -rf "$1" 2>/dev/null || [ "$tries" -ge 300 ]; do
    tries=$((tries + 1))
    sleep 0.2
done
