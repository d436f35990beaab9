# Runs a command inside the engine root with files of the machine visible at the same paths: name
# resolution, certificates, package index configuration. Arguments: ROOT PATH… -- PROGRAM [ARGUMENT…]
set -eu
root=$1
shift
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mkdir -p "$root$1"
        mount --bind "$1" "$root$1"
    elif [ -e "$1" ]; then
        mkdir -p "$root$(dirname "$1")"
        [ -e "$root$1" ] || : >"$root$1"
        mount --bind "$1" "$root$1"
    fi
    shift
done
shift
cd /
exec chroot "$root" "$@"
