# Run by the guest agent as root, by /bin/sh of any Linux guest (dash, bash, busybox). What it works with comes from outside:
#   ACCOUNT, PUBLIC_KEY, HOST_NAME in the environment, the password as the only line on standard input.
# Prints "host-key: <OpenSSH public key>" at the end, or a sentence on why it failed.
set -eu
umask 022

ADMINISTRATORS='sudo wheel'

fail() {
    echo "$*"
    exit 1
}

# Sets `id`, `more` (of passwd the id of the group, of group the members) and `home` by the line that begins with the name $1
# on standard input. The shell does it itself: each program that is started costs an emulated guest some 10 ms.
scan() {
    while IFS=: read -r name _ id more _ home _ || [ -n "$name" ]; do
        [ "$name" != "$1" ] || return 0
    done
    id= more= home=
    return 1
}

# Does the same by the database $1 (passwd, group) and the name $2. Only a system with an nsswitch.conf is asked for more than
# its files.
look_up() {
    scan "$2" <"/etc/$1" && return
    [ -e /etc/nsswitch.conf ] || [ -e /usr/etc/nsswitch.conf ] || return 1
    scan "$2" <<EOF
$(getent "$1" "$2" 2>/dev/null)
EOF
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Lets cloud-init finish, where there is one: it makes host keys and accounts of its own.
await_first_boot() {
    ! have cloud-init || cloud-init status --wait </dev/null >/dev/null 2>&1 || true
}

make_account() {
    shell=/bin/sh
    [ ! -x /bin/bash ] || shell=/bin/bash
    own_group=
    ! look_up group "$ACCOUNT" || own_group=yes
    if have useradd; then
        groups=
        for group in $ADMINISTRATORS; do
            ! scan "$group" </etc/group || groups=$groups,$group
        done
        set -- -m -s "$shell"
        [ -z "$own_group" ] || set -- "$@" -g "$ACCOUNT"
        [ -z "$groups" ] || set -- "$@" -G "${groups#,}"
        # Capitals and the like are refused by default on some systems.
        case $ACCOUNT in
            *[!a-z0-9_-]*) if useradd --help 2>&1 | grep -q -e --badname; then set -- "$@" --badname; fi ;;
        esac
        useradd "$@" -- "$ACCOUNT"
    else
        set -- -D -s "$shell"
        [ -z "$own_group" ] || set -- "$@" -G "$ACCOUNT"
        adduser "$@" "$ACCOUNT"
    fi
}

join_group() {
    if have usermod; then
        usermod -a -G "$1" "$ACCOUNT"
    else
        addgroup "$ACCOUNT" "$1"
    fi
}

set_password() {
    IFS= read -r password || [ -n "$password" ] || fail "no password was given"
    program=$(command -v chpasswd)
    # Without being told, busybox hashes with DES and looks at eight characters only.
    [ ! -L "$program" ] || program=$(readlink -f "$program")
    case $program in
        *busybox*) printf '%s:%s\n' "$ACCOUNT" "$password" | chpasswd -c sha512 ;;
        *) printf '%s:%s\n' "$ACCOUNT" "$password" | chpasswd ;;
    esac
}

# Follows a look_up of the account.
let_key_in() {
    case $home in /?*) ;; *) fail "the account $ACCOUNT has no home folder" ;; esac
    # By numbers: to some `chown` a dot in a name divides user and group.
    owner=$id:$more
    if [ ! -d "$home" ]; then
        mkdir -p "$home"
        chown "$owner" "$home"
    fi
    [ -d "$home/.ssh" ] || mkdir "$home/.ssh"
    keys=$home/.ssh/authorized_keys
    [ -s "$keys" ] && grep -qxF -e "$PUBLIC_KEY" "$keys" || printf '%s\n' "$PUBLIC_KEY" >>"$keys"
    chmod u=rwX,go= "$home/.ssh" "$keys"
    chown "$owner" "$home/.ssh" "$keys"
    if have restorecon; then restorecon -R "$home/.ssh" || true; fi
}

make_administrator() {
    for group in $ADMINISTRATORS; do
        scan "$group" </etc/group || continue
        case ,$more, in *,"$ACCOUNT",*) ;; *) join_group "$group" ;; esac
    done
    if [ -d /etc/sudoers.d ]; then
        # sudo passes over files with a dot in their name.
        rule=$ACCOUNT
        while [ "$rule" != "${rule#*.}" ]; do rule=${rule%%.*}_${rule#*.}; done
        rule=/etc/sudoers.d/90-$rule
        umask 337
        printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$ACCOUNT" >"$rule"
        umask 022
    fi
}

name_host() {
    printf '%s\n' "$HOST_NAME" >/etc/hostname
    printf '%s\n' "$HOST_NAME" >/proc/sys/kernel/hostname || true
    # sudo looks its own host name up and is slow where nobody knows it.
    grep -qsw -e "$HOST_NAME" /etc/hosts || printf '127.0.1.1\t%s\n' "$HOST_NAME" >>/etc/hosts
}

# A first boot may still be making the host keys.
print_host_key() {
    tries=0
    while [ $tries -lt 60 ]; do
        for kind in ed25519 ecdsa rsa; do
            file=/etc/ssh/ssh_host_${kind}_key.pub
            [ -s "$file" ] && { read -r type key _ || [ -n "$key" ]; } <"$file" && echo "host-key: $type $key" && return
            file=/etc/dropbear/dropbear_${kind}_host_key
            if [ -s "$file" ] && have dropbearkey; then
                key=$(dropbearkey -y -f "$file" | grep -e '^ssh-' -e '^ecdsa-' | cut -d ' ' -f 1,2)
                [ -n "$key" ] && echo "host-key: $key" && return
            fi
        done
        tries=$((tries + 1))
        sleep 1
    done
    fail "the guest has no SSH host key: is an SSH server installed?"
}

await_first_boot
if ! look_up passwd "$ACCOUNT"; then
    make_account
    look_up passwd "$ACCOUNT" || fail "the account $ACCOUNT was made and is not there"
elif [ "$id" -lt 1000 ] || [ "$id" -ge 65534 ]; then
    fail "the account $ACCOUNT belongs to the guest's system (user id $id)"
fi
set_password
let_key_in
make_administrator
name_host
print_host_key
