# Runs a program inside the engine root, with the instance's directory as /srv.
# Arguments: ROOT DATA PDEATHSIG(yes|no) PROGRAM [ARGUMENT…]
# Every step replaces the one before, so the process id is the program's. The mounts live in this
# process's own mount namespace and vanish with it.
set -eu
root=$1 data=$2 follow=$3
shift 3
ulimit -n 65536 2>/dev/null || true
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$data" "$root/srv"
mount --bind "$data/tmp" "$root/tmp"
cd /
if [ "$follow" = yes ]; then
    exec chroot "$root" setpriv --reuid=millrace --regid=millrace --clear-groups --pdeathsig KILL -- "$@"
fi
exec chroot "$root" setpriv --reuid=millrace --regid=millrace --clear-groups -- "$@"
