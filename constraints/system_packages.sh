#!/usr/bin/env bash
# Install the system packages that the tests use, when that is possible; else say which are missing.
set -u
declare -A package=([chromium]=chromium [gst-launch-1.0]=gstreamer1.0-tools [ffmpeg]=ffmpeg)
missing=()
for command in "${!package[@]}"; do command -v "$command" >/dev/null || missing+=("${package[$command]}"); done
ldconfig -p | grep -q libGL.so.1 || missing+=(libgl1)
ldconfig -p | grep -q libglib-2.0.so.0 || missing+=(libglib2.0-0)
[ ${#missing[@]} -eq 0 ] && exit 0
[[ " ${missing[*]} " == *gstreamer* ]] && missing+=(gstreamer1.0-plugins-base gstreamer1.0-plugins-good)
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null && exit 0
fi
echo "These system packages are missing; install them with: sudo apt-get install ${missing[*]}" >&2
exit 1
