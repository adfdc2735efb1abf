#!/bin/sh
# generalise.sh ROOT: make the Linux system below ROOT ready to become many machines. It removes what belongs to one
# machine or to one person, and prints a line for each thing it did. Beside it lies `accounts`: names, one a line, of the
# accounts to be removed with their homes.
#
# The guest is not trusted. Its links may lead anywhere, so every path goes through `inside`, which follows links as the
# guest itself would and never leaves ROOT. Files are rewritten in place, to keep their owner, mode and SELinux label.
set -u
export LC_ALL=C
PATH=${PATH:-/bin}:/sbin:/bin

root=${1%/}
here=$(cd "$(dirname "$0")" && pwd)
newline='
'

fail() {
    echo "failed: $*"
    exit 1
}

# Prints the real place of path $1 of the guest, with no link left in it; fails when links run in circles.
inside() {
    rest=$1 place= hops=0
    while [ -n "$rest" ]; do
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        case $part in
            '' | .) ;;
            ..) place=${place%/*} ;;
            *)
                if [ -L "$root$place/$part" ]; then
                    hops=$((hops + 1))
                    [ $hops -le 40 ] || return 1
                    target=$(readlink "$root$place/$part")
                    # A newline would be lost on the way back to the caller, and the path become another one.
                    case $target in *"$newline"*) return 1 ;; esac
                    case $target in /*) place= ;; esac
                    rest=$target/$rest
                else
                    place=$place/$part
                fi
                ;;
        esac
    done
    printf '%s\n' "$root$place"
}

# Prints the real place of the guest's path $1 without following the last part: what `rm` would take away.
itself() {
    case $1 in */*) folder=$(inside "${1%/*}") || return 1 ;; *) folder=$root ;; esac
    printf '%s\n' "$folder/${1##*/}"
}

# Prints the real place of the guest's folder $1. A link may move it, say /var/log to /data/log, but where the name at the
# end changes too, it leads to something that is not ours to clean.
folder_of() {
    folder=$(inside "$1") && [ -d "$folder" ] && [ "${folder##*/}" = "${1##*/}" ] && printf '%s\n' "$folder"
}

there() {
    [ -e "$1" ] || [ -L "$1" ]
}

# Removes each of the guest's paths, links as links.
remove() {
    for path in "$@"; do
        victim=$(itself "$path") || continue
        there "$victim" || continue
        rm -rf -- "$victim" || fail "${victim#"$root"} cannot be removed"
        echo "removed ${victim#"$root"}"
    done
}

# Removes what matches the pattern $2 in the guest's folder $1.
remove_in() {
    folder=$(folder_of "$1") || return 0
    found=$(find "$folder" -mindepth 1 -maxdepth 1 -name "$2" -print -exec rm -rf -- {} + | wc -l)
    [ "$found" -eq 0 ] || echo "removed ${folder#"$root"}/$2 ($found)"
}

# Empties one real file. A second name of it (a hard link) may be something that must stay, so then only the name goes.
empty() {
    if [ -n "$(find "$1" -prune -links +1)" ]; then
        rm -f -- "$1" && : >"$1"
    else
        : >"$1"
    fi || fail "${1#"$root"} cannot be emptied"
}

# Rewrites the guest's table $1 by the awk program $2, with `name` in ENVIRON; keeps quiet when nothing changes.
rewrite() {
    table=$(inside "$1") && [ -f "$table" ] || return 0
    awk -F : -v OFS=: "$2" "$table" >"$here/rewritten" || fail "$1 cannot be read"
    cmp -s "$table" "$here/rewritten" && return 0
    cat "$here/rewritten" >"$table" || fail "$1 cannot be written"
    echo "removed $name from ${table#"$root"}"
}

# Prints field $2 of the account $1.
account_field() {
    passwd=$(inside etc/passwd) || return 1
    name=$1 awk -F : -v field="$2" '$1 == ENVIRON["name"] { print $field; exit }' "$passwd"
}

check_name() {
    case $1 in
        [!A-Za-z_]* | *[!A-Za-z0-9_.-]*) fail "'$1' is not a name that an account can have" ;;
    esac
    [ ${#1} -le 32 ] || fail "the name $1 is longer than 32 characters"
    [ "$(account_field "$1" 3)" != 0 ] || fail "$1 is the administrator's account, which stays"
}

# Whether the guest's path $1 is a place where homes are, and not a part of the system.
is_home() {
    case $1 in
        */../* | */.. | */./* | */.) return 1 ;;
        /home/?* | /var/home/?* | /export/home/?* | /usr/home/?* | /data/?* | /srv/?* | /opt/?* | /var/lib/?*/?*) return 0 ;;
        *) return 1 ;;
    esac
}

remove_home() {
    home=$(account_field "$1" 6)
    home=${home%/}
    for path in "$home" "/home/$1"; do
        [ -n "$path" ] || continue
        place=$(itself "$path") || fail "the links at $path run in circles"
        there "$place" || continue
        is_home "$path" && is_home "${place#"$root"}" || fail "$path, the home of $1, is a part of the system and was not removed"
        rm -rf -- "$place"
        echo "removed ${place#"$root"}"
        there "$place" && fail "the home of $1, $path, is still there"
    done
    return 0
}

remove_account() {
    name=$1
    export name
    remove_home "$name"
    own_group='$1 == ENVIRON["name"]'
    for table in etc/passwd etc/shadow etc/subuid etc/subgid; do
        rewrite $table '$1 != ENVIRON["name"]'
    done
    # The group of the same name goes too, unless it is the main group of another account.
    group_table=$(inside etc/group) && group_id=$(awk -F : "$own_group { print \$3; exit }" "$group_table" 2>/dev/null)
    if [ -n "${group_id:-}" ] && ! awk -F : -v id="$group_id" '$4 == id { found = 1 } END { exit !found }' "$(inside etc/passwd)"; then
        rewrite etc/group '$1 != ENVIRON["name"]'
        rewrite etc/gshadow '$1 != ENVIRON["name"]'
    fi
    without='function without(list,   names, count, i, rest) {
        count = split(list, names, ",")
        for (i = 1; i <= count; i++) if (names[i] != ENVIRON["name"]) rest = rest (rest == "" ? "" : ",") names[i]
        return rest
    }'
    rewrite etc/group "$without"' NF > 3 { $4 = without($4) } { print }'
    rewrite etc/gshadow "$without"' NF > 3 { $3 = without($3); $4 = without($4) } { print }'
    # sudo passes over files with a dot in their name, so that a rule for `a.b` has another name.
    remove "etc/sudoers.d/90-$(printf %s "$name" | tr . _)" "etc/sudoers.d/90-$name" "etc/sudoers.d/$name" "var/mail/$name" "var/spool/mail/$name" \
        "var/spool/cron/crontabs/$name" "var/spool/cron/$name" "var/lib/systemd/linger/$name" \
        "etc/ssh/authorized_keys/$name" "var/lib/AccountsService/users/$name" "var/lib/AccountsService/icons/$name"
    [ -z "$(account_field "$name" 1)" ] || fail "the account $name is still there"
}

remove_accounts() {
    [ -f "$here/accounts" ] || return 0
    while IFS= read -r account || [ -n "$account" ]; do
        [ -n "$account" ] && check_name "$account"
    done <"$here/accounts"
    while IFS= read -r account || [ -n "$account" ]; do
        [ -n "$account" ] && remove_account "$account"
    done <"$here/accounts"
    # The tools that change accounts keep the tables as they were before.
    remove etc/passwd- etc/shadow- etc/group- etc/gshadow- etc/subuid- etc/subgid-
}

forget_identity() {
    id=$(inside etc/machine-id) || fail "/etc/machine-id is a link in a circle"
    if [ -f "$id" ] && [ -s "$id" ]; then
        empty "$id"
        echo "emptied ${id#"$root"}"
    fi
    dbus=$(itself var/lib/dbus/machine-id) && [ ! -L "$dbus" ] && remove var/lib/dbus/machine-id
    remove_in etc/ssh 'ssh_host_*'
    remove_in etc/dropbear 'dropbear_*_host_key*'
    remove var/lib/systemd/random-seed var/lib/systemd/credential.secret var/lib/urandom/random-seed var/lib/random-seed \
        var/lib/misc/random-seed boot/loader/random-seed boot/efi/loader/random-seed
    remove_in var/lib/seedrng '*'
    remove_in etc/udev/rules.d '*-persistent-net.rules'
}

forget_network() {
    remove_in var/lib/dhcp '*.lease*'
    remove_in var/lib/dhclient '*.lease*'
    remove_in var/lib/dhcpcd '*'
    remove etc/dhcpcd.duid etc/dhcpcd.secret
    remove_in var/lib/NetworkManager '*.lease'
    remove var/lib/NetworkManager/secret_key var/lib/NetworkManager/seen-bssids var/lib/NetworkManager/timestamps
    # cloud-init writes these anew on a new machine; without it they are the administrator's.
    if there "$(itself usr/bin/cloud-init)"; then
        remove etc/netplan/50-cloud-init.yaml etc/network/interfaces.d/50-cloud-init
        remove_in etc/NetworkManager/system-connections 'cloud-init-*.nmconnection'
    fi
}

# Everything cloud-init knows of this machine; `seed` is where an image carries its own configuration.
forget_cloud_init() {
    state=$(folder_of var/lib/cloud) || return 0
    found=$(find "$state" -mindepth 1 -maxdepth 1 ! -name seed -print -exec rm -rf -- {} + | wc -l)
    [ "$found" -eq 0 ] || echo "removed ${state#"$root"}/* ($found)"
    remove_in var/log 'cloud-init*'
}

# Prints the homes of all accounts left, each once.
homes() {
    passwd=$(inside etc/passwd) || return 0
    { awk -F : '$6 ~ "^/." { print $6 }' "$passwd" && echo /root; } | sort -u
}

forget_people() {
    homes | while IFS= read -r home; do
        home=$(inside "$home") && [ -d "$home" ] || continue
        for file in .ash_history .bash_history .sh_history .zsh_history .history .python_history .lesshst .viminfo \
            .mysql_history .psql_history .sqlite_history .node_repl_history; do
            there "$home/$file" || continue
            rm -rf -- "$home/$file" || fail "${home#"$root"}/$file cannot be removed"
            echo "removed ${home#"$root"}/$file"
        done
    done || exit 1
    root_home=$(account_field root 6)
    remove "${root_home:-/root}/.ssh/authorized_keys" "${root_home:-/root}/.ssh/authorized_keys2"
}

# Finds rotated logs and journals below $logs, and does with them what the arguments say.
rotated() {
    day='[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'
    find "$logs" -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.bz2' -o -name '*.zst' -o -name '*.old' \
        -o -name '*.journal' -o -name '*.[0-9]' -o -name '*.[0-9][0-9]' -o -name "*-$day" \) "$@"
}

# Logs keep their names, owners and modes, which programs rely on, and lose their content.
clean_logs() {
    remove_in var/log/journal '*'
    logs=$(folder_of var/log) || return 0
    found=$(rotated -print -exec rm -f -- {} + | wc -l)
    [ "$found" -eq 0 ] || echo "removed rotated logs ($found)"
    # One with a second name may be something else that must stay whole.
    find "$logs" -type f -links +1 -exec rm -f -- {} +
    found=$(find "$logs" -type f -size +0 -print -exec sh -c 'for log in "$@"; do : >"$log"; done' sh {} + | wc -l)
    [ "$found" -eq 0 ] || echo "emptied logs ($found)"
    [ -z "$(find "$logs" -type f -size +0)" ] || fail "a log cannot be emptied"
}

[ -n "$root" ] && [ -d "$root" ] && [ "$root" != / ] || fail "give the folder of a Linux root file system"
case $root in *"$newline"*) fail "the folder's name is not usable" ;; esac
table=$(inside etc/passwd) && [ -f "$table" ] || fail "there is no /etc/passwd"

remove_accounts
forget_identity
forget_network
forget_cloud_init
forget_people
clean_logs
remove_in tmp '*'
remove_in var/tmp '*'
exit 0
