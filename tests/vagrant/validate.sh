#!/usr/bin/env bash
# Does Vagrant understand the Vagrantfile? With each provider's settings; nothing is started.
set -euo pipefail
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export VAGRANT_HOME=$scratch/home VAGRANT_DOTFILE_PATH=$scratch/dot VAGRANT_CHECKPOINT_DISABLE=1

# VirtualBox is not in Debian, and Vagrant asks only for its version to read the settings.
mkdir "$scratch/bin"
printf '#!/bin/sh\necho 7.0.20r163906\n' >"$scratch/bin/VBoxManage"
chmod +x "$scratch/bin/VBoxManage"

for provider in libvirt virtualbox; do
    said=$(PATH=$scratch/bin:$PATH VAGRANT_DEFAULT_PROVIDER=$provider vagrant validate)
    echo "$provider: $said"
done
