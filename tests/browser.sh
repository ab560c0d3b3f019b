# A browser for the tests: headless Chromium driven over WebDriver. Sourced by tests/all.sh, after tests/postgres.sh.
#
#   start_browser   installs Chromium, its driver and npm from the distribution when they are missing, fetches axe-core, starts
#                   the driver and exports WEBDRIVER_URL and AXE_SCRIPT
#   stop_browser    stops it
#
# What cannot be had, for want of a network or of a package, is said here; the tests then say what they skipped.

# Pinned: what a new version finds must not break the tests of an old commit.
axe_version="4.14.1"
axe_sha256="e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
browser_pid=""

start_browser() {
    if ! command -v chromedriver >/dev/null 2>&1 && ! install chromium chromium-driver; then
        printf 'no browser tests: the packages chromium and chromium-driver cannot be installed here\n' >&2
        return 0
    fi
    fetch_axe || printf 'no test of accessibility: axe-core %s cannot be fetched with npm\n' "$axe_version" >&2
    local port log
    port=$(free_port)
    log=$(mktemp)
    chromedriver --port="$port" >"$log" 2>&1 &
    browser_pid=$!
    local tries=0
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$browser_pid" 2>/dev/null; then
            cat "$log" >&2
            return 1
        fi
        sleep 0.1
    done
    rm -f "$log"
    export WEBDRIVER_URL="http://127.0.0.1:$port"
}

# Leaves the script in target/, where it is nobody's source.
fetch_axe() {
    local folder script archive
    folder="target/axe-core-$axe_version"
    script="$folder/axe.min.js"
    archive="$folder/axe-core-$axe_version.tgz"
    if [ ! -f "$script" ]; then
        mkdir -p "$folder"
        command -v npm >/dev/null 2>&1 || install npm || return 1
        npm pack --silent --pack-destination "$folder" "axe-core@$axe_version" >/dev/null 2>&1 || return 1
        if ! printf '%s  %s\n' "$axe_sha256" "$archive" | sha256sum --check --status; then
            printf 'axe-core %s is not what its checksum says; it is not used\n' "$axe_version" >&2
            rm -f "$archive"
            return 1
        fi
        tar --extract --gzip --file "$archive" --directory "$folder" --strip-components 1 package/axe.min.js || return 1
        rm -f "$archive"
    fi
    export AXE_SCRIPT="$PWD/$script"
}

stop_browser() {
    [ -n "$browser_pid" ] || return 0
    kill "$browser_pid" 2>/dev/null || true
    wait "$browser_pid" 2>/dev/null || true
}
