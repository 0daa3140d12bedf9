#!/bin/sh
# PID 1 of a node. Its mount, PID, UTS and IPC namespaces are new, its network namespace is the
# node's. Everything the node writes goes to NODE_DISK; the machine's own folders stay untouched.

set -e
mount --make-rprivate /

# /var disappears below: what lies there and is still needed moves to the node's own /run.
cgroups=$(mktemp -d)
mount --rbind /sys/fs/cgroup "$cgroups"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/node/containerd /run/node/kubernetes /run/node/log /run/lock
mount --bind "$CONTAINERD_BIN" /run/node/containerd
mount --bind "$KUBERNETES_BIN" /run/node/kubernetes
mount --bind "$NODE_LOG" /run/node/log

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --move "$cgroups" /sys/fs/cgroup
rmdir "$cgroups"

# The machine's /etc with the node's own changes over it: they survive a crash of the node.
mount -t overlay -o "lowerdir=/etc,upperdir=$NODE_DISK/etc,workdir=$NODE_DISK/etc-work" \
    overlay /etc
mount --bind "$NODE_DISK/var" /var

# Without it every HostToContainer or Bidirectional volume is refused.
mount --make-rshared /

hostname "$NODE_NAME"
echo 1 > /proc/sys/net/ipv4/ip_forward
set +e

# Not under `set -e`: a kill -9 of containerd would end the loop.
keep_running() {
    log=/run/node/log/$1.log
    shift
    while :; do
        "$@" >> "$log" 2>&1 < /dev/null
        echo "--- $1 ended with $?, starting it again" >> "$log"
        sleep 0.5
    done
}

export PATH="/run/node/containerd:/run/node/kubernetes:$PATH"
cd /

keep_running containerd containerd &
until ctr version > /dev/null 2>&1; do sleep 0.1; done
keep_running kubelet kubelet \
    --config=/etc/kubernetes/kubelet.yaml \
    --kubeconfig=/etc/kubernetes/kubeconfig \
    --hostname-override="$NODE_NAME" \
    --node-ip="$NODE_ADDRESS" &

# As PID 1 it reaps what containers leave; wait returns when a loop ends, which none does.
while :; do wait; sleep 1; done
