# Run by the guest agent as root, by /bin/sh of any Linux guest: becomes the program "$@", in a session of its own.
# DARKROOM_RUN in the environment names the run, DARKROOM_RUN_TOKEN no other run has ever had. What the program writes goes
# to a file and not to the agent's pipe: a service that it leaves behind would keep that open, and the run would never end.
set -u
umask 022
place=/run/darkroom-$DARKROOM_RUN

# A former run of the same that nobody waits for any more. Its number may have passed to another process since.
if [ -r "$place.pid" ] && read -r pid token <"$place.pid"; then
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "DARKROOM_RUN_TOKEN=$token"; then
        kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid"
    fi
fi

rm -f "$place.out"
(umask 077 && : >"$place.out") || exit 126
echo "$$ $DARKROOM_RUN_TOKEN" >"$place.pid"
# The leader of a group cannot found a session, and `setsid` would leave for a child of another number.
if command -v setsid >/dev/null 2>&1 && [ "$(cut -d ' ' -f 5 "/proc/$$/stat")" != "$$" ]; then
    exec setsid "$@" >"$place.out" 2>&1
fi
exec "$@" >"$place.out" 2>&1
