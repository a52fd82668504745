# Sourced: Debian's packages and sources, fetched and unpacked beside the system instead of being installed into it. The
# lists are apt's own in a folder of ours, so the system's architectures and sources stay as they are. Of the release
# itself: mirrors of its updates do not always have the sources.
#
#   debian_lists DIR ARCHITECTURE KIND [SUITE]   KIND is deb or deb-src; SUITE another part of the release: -backports
#   debian_unpack DIR ROOT PACKAGE...            downloads and unpacks into ROOT, not what they depend on
#   debian_source DIR INTO PACKAGE...            unpacks each into INTO/PACKAGE, with Debian's patches

debian_lists() {
    local dir=$1 architecture=$2 kind=$3 suite=${4:-}
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    : >"$dir/status"
    apt-get indextargets --format "$kind "'$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
        awk -v suite="$suite" '$NF == "Debian" && $3 !~ /-/ { print $1, $2, $3 suite, $4 }' |
        sort -u >"$dir/sources.list"
    cat >"$dir/apt.conf" <<CONF
Dir::State "$dir";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Debug::NoLocking "true";
CONF
    apt-get -q -c "$dir/apt.conf" update
}

debian_unpack() {
    local dir=$1 root=$2
    shift 2
    mkdir -p "$dir/debs" "$root"
    (cd "$dir/debs" && apt-get -q -c "$dir/apt.conf" download "$@") || return
    for package in "$dir"/debs/*.deb; do
        dpkg-deb -x "$package" "$root" || return
    done
}

debian_source() {
    local dir=$1 into=$2
    shift 2
    mkdir -p "$dir/sources" "$into"
    (cd "$dir/sources" && apt-get -q -c "$dir/apt.conf" source --download-only "$@") || return
    for package in "$@"; do
        [ -d "$into/$package" ] || dpkg-source --no-check -x "$dir/sources/$package"_*.dsc "$into/$package" || return
    done
}
