#!/usr/bin/env bash
# box.sh BOX: build a Debian 12 box (amd64) for vagrant-libvirt, where no public box can be fetched. Root.
#
# The machine made from it needs no network: what provisioning takes from Debian and from PyPI
# (packages of the Makefile, dependencies of pyproject.toml) lies in the box, not installed, as an
# apt repository and a folder of wheels. So provisioning does the same work as with a public box.
set -euo pipefail
cd "$(dirname "$0")/../.."

box=$1
work=$(mktemp -d --tmpdir="$(dirname "$box")" box.XXXXXX)
trap 'rm -rf "$work"' EXIT
root=$work/root
debs=$(dirname "$box")/debs
mkdir -p "$debs"

# From where this machine itself takes Debian, if it is Debian 12.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
mirror=${mirror:-http://deb.debian.org/debian}
packages=$(make --silent --eval='packages-named: ; @echo $(PACKAGES)' packages-named)

echo "Fetching Debian from $mirror"
debootstrap --variant=minbase --cache-dir="$(realpath "$debs")" --include="$(tr '\n' , <<-LIST
	ca-certificates
	dbus
	grub-pc-bin
	initramfs-tools
	iproute2
	linux-image-cloud-amd64
	openssh-server
	python3
	rsync
	sudo
	systemd-sysv
	udev
	zstd
	LIST
)" bookworm "$root" "$mirror" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
# debootstrap's own: it would keep the machine's services from starting.
rm -f "$root/usr/sbin/policy-rc.d"

echo "Adding what provisioning will install: make $packages, and wheels"
# shellcheck disable=SC2086 # words
chroot "$root" apt-get install --yes --quiet --no-install-recommends --download-only make $packages \
    >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
mkdir -p "$root/srv/debian" "$root/srv/wheels"
mv "$root"/var/cache/apt/archives/*.deb "$root/srv/debian/"
(
    cd "$root/srv/debian"
    for deb in *.deb; do
        dpkg-deb --field "$deb"
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" \
            "$(stat --format=%s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
    done >Packages
)
echo "deb [trusted=yes] file:/srv/debian ./" >"$root/etc/apt/sources.list"
rm -rf "$root"/var/lib/apt/lists/*
.venv/bin/python - >"$work/requirements" <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
print(*project["build-system"]["requires"], *project["project"]["dependencies"], "wheel", sep="\n")
PYTHON
.venv/bin/pip download --quiet --python-version=3.11 --only-binary=:all: --dest="$root/srv/wheels" \
    --requirement="$work/requirements" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
# "no-compile = false" is how pip's file says --no-compile: emulated, compiling what is never
# imported would take longer than all else.
cat >"$root/etc/pip.conf" <<'CONF'
[global]
no-index = true
find-links = /srv/wheels
[install]
no-compile = false
CONF

echo "Making a machine of it"
chroot "$root" useradd --create-home --shell=/bin/bash vagrant
echo "vagrant ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/vagrant"
install -d -m 700 "$root/home/vagrant/.ssh"
# Vagrant's well-known key: it puts one of its own in its place when the machine first starts.
install -m 600 "$(dpkg --listfiles vagrant | grep 'keys/vagrant.pub$')" "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown --recursive vagrant: /home/vagrant/.ssh
cat >"$root/etc/systemd/network/20-dhcp.network" <<'CONF'
[Match]
Name=eth0
[Network]
DHCP=ipv4
[DHCPv4]
ClientIdentifier=mac
CONF
chroot "$root" systemctl enable --quiet systemd-networkd ssh
chroot "$root" systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer
# Each machine makes its own.
: >"$root/etc/machine-id"
echo "LABEL=root / ext4 noatime 0 1" >"$root/etc/fstab"
echo localhost >"$root/etc/hostname"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<'CONF'
linux /vmlinuz root=LABEL=root ro console=ttyS0 quiet net.ifnames=0 mitigations=off
initrd /initrd.img
boot
CONF

echo "Making the disk"
# A partition table, GRUB's first sector and its core before the partition, which begins at 1 MiB.
truncate --size=6G "$work/disk"
echo "2048,,L,*" | sfdisk --quiet "$work/disk"
grub-mkimage --directory="$root/usr/lib/grub/i386-pc" --format=i386-pc --prefix='(hd0,msdos1)/boot/grub' \
    --output="$work/core" biosdisk part_msdos ext2 normal linux
dd if="$root/usr/lib/grub/i386-pc/boot.img" of="$work/disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core" of="$work/disk" bs=512 seek=1 conv=notrunc status=none
mkfs.ext4 -q -F -L root -E offset=$((2048 * 512)) -d "$root" "$work/disk" $((6 * 1024 * 1024 - 1024))k
qemu-img convert -O qcow2 "$work/disk" "$work/box.img"
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": 6}' >"$work/metadata.json"
echo 'Vagrant.configure("2") { |config| }' >"$work/Vagrantfile"
tar --create --file="$work/box" --directory="$work" metadata.json Vagrantfile box.img
mv "$work/box" "$box"
ls -sh "$box"
