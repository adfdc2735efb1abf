# Run by the guest agent as root, by /bin/sh of any Linux guest (dash, bash, busybox). What it works with comes from outside:
#   ACCOUNT, PUBLIC_KEY, HOST_NAME in the environment, the password as the only line on standard input.
# Prints "host-key: <OpenSSH public key>" at the end, or a sentence on why it failed.
set -eu
umask 022

fail() {
    echo "$*"
    exit 1
}

# Prints field $2 of the line of the database $1 (passwd, group) that begins with the name $3.
field() {
    { getent "$1" "$3" 2>/dev/null || grep -F "$3:" "/etc/$1" || true; } | name=$3 number=$2 awk -F : '
        $1 == ENVIRON["name"] { print $ENVIRON["number"]; exit }'
}

have() {
    command -v "$1" >/dev/null 2>&1
}

make_account() {
    shell=/bin/sh
    [ ! -x /bin/bash ] || shell=/bin/bash
    own_group=
    [ -z "$(field group 3 "$ACCOUNT")" ] || own_group=yes
    if have useradd; then
        set -- -m -s "$shell"
        [ -z "$own_group" ] || set -- "$@" -g "$ACCOUNT"
        # Capitals are refused by default on some systems.
        if useradd --help 2>&1 | grep -q -e --badname; then set -- "$@" --badname; fi
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
    # Without being told, busybox hashes with DES and looks at eight characters only.
    case $(readlink -f "$(command -v chpasswd)") in
        *busybox*) printf '%s:%s\n' "$ACCOUNT" "$password" | chpasswd -c sha512 ;;
        *) printf '%s:%s\n' "$ACCOUNT" "$password" | chpasswd ;;
    esac
}

let_key_in() {
    home=$(field passwd 6 "$ACCOUNT")
    # By numbers: to some `chown` a dot in a name divides user and group.
    owner=$(id -u "$ACCOUNT"):$(id -g "$ACCOUNT")
    case $home in /?*) ;; *) fail "the account $ACCOUNT has no home folder" ;; esac
    if [ ! -d "$home" ]; then
        mkdir -p "$home"
        chown "$owner" "$home"
    fi
    mkdir -p "$home/.ssh"
    keys=$home/.ssh/authorized_keys
    grep -qxF -e "$PUBLIC_KEY" "$keys" 2>/dev/null || printf '%s\n' "$PUBLIC_KEY" >>"$keys"
    chmod 700 "$home/.ssh"
    chmod 600 "$keys"
    chown "$owner" "$home/.ssh" "$keys"
    if have restorecon; then restorecon -R "$home/.ssh" || true; fi
}

make_administrator() {
    for group in sudo wheel; do
        [ -z "$(field group 3 $group)" ] || join_group $group
    done
    if [ -d /etc/sudoers.d ]; then
        # sudo passes over files with a dot in their name.
        rule=/etc/sudoers.d/90-$(printf %s "$ACCOUNT" | tr . _)
        (umask 077 && printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$ACCOUNT" >"$rule")
        chmod 440 "$rule"
    fi
}

name_host() {
    printf '%s\n' "$HOST_NAME" >/etc/hostname
    hostname "$HOST_NAME" || true
    # sudo looks its own host name up and is slow where nobody knows it.
    grep -qsw -e "$HOST_NAME" /etc/hosts || printf '127.0.1.1\t%s\n' "$HOST_NAME" >>/etc/hosts
}

# A first boot may still be making the host keys.
print_host_key() {
    tries=0
    while [ $tries -lt 60 ]; do
        for kind in ed25519 ecdsa rsa; do
            file=/etc/ssh/ssh_host_${kind}_key.pub
            [ -s "$file" ] && echo "host-key: $(cut -d ' ' -f 1,2 "$file")" && return
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

number=$(field passwd 3 "$ACCOUNT")
if [ -z "$number" ]; then
    make_account
elif [ "$number" -lt 1000 ] || [ "$number" -ge 65534 ]; then
    fail "the account $ACCOUNT belongs to the guest's system (user id $number)"
fi
set_password
let_key_in
make_administrator
name_host
print_host_key
