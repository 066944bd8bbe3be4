#!/usr/bin/env bash
# A real Apache Kafka of one node (KRaft, combined mode) on 127.0.0.1, for tests and developers.
#
#   broker.sh run [DIR]   starts the broker that lives in DIR (made if it is not there; without
#                         DIR a temporary one that goes with it), prints
#                         "bootstrap.servers=127.0.0.1:PORT" once it answers, and stops it when its
#                         own standard input ends: so it never outlives a test, however that ends
#   broker.sh serve DIR   the same for a broker whose DIR was configured and formatted by others, one
#                         of a cluster, say
#   broker.sh fetch       only fetches Kafka; prints the folder with its jars
#
# DIR/pid holds the broker's process id (kill it to see what happens then), DIR/log what it says.
# A second run in the same DIR starts the same broker again: same ports, same data.
# Needs Java 17 or newer, and Maven to fetch Kafka once into EVERLOG_KAFKA_CACHE
# (default ~/.cache/everlog/kafka-4.3.1, 55 MB).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EVERLOG_KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/everlog/kafka-4.3.1}
start_seconds_max=120

fail() {
    echo "broker.sh: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || fail "$1 is missing; on Debian: apt-get install $2"
}

fetch() {
    need java openjdk-17-jre-headless
    mkdir -p "$(dirname "$cache")"
    exec 8>"$cache.lock"
    flock 8
    if [ ! -d "$cache" ]; then
        need mvn maven
        local partial="$cache.partial"
        rm -rf "$partial"
        mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$partial" >&2 ||
            fail "maven could not fetch Kafka; is Maven Central reachable?"
        mv "$partial" "$cache"
    fi
    exec 8>&-
}

# Prints a port that nobody listens on now. Outside the range that the system gives to clients.
free_port() {
    local port
    while :; do
        port=$((10000 + RANDOM % 20000))
        (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

configure() {
    local dir=$1 broker controller
    broker=$(free_port)
    controller=$(free_port)
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$controller
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
    cat >"$dir/log4j2.properties" <<PROPERTIES
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=info
PROPERTIES
    local id
    id=$(java -cp "$cache/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
    java -cp "$cache/*" kafka.tools.StorageTool format --standalone -t "$id" \
        -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
        fail "failed to format $dir: $(tail -3 "$dir/format.log")"
    touch "$dir/formatted"
}

run() {
    local dir=$1 at_exit=
    fetch
    if [ -z "$dir" ]; then
        dir=$(mktemp -d "${TMPDIR:-/tmp}/everlog-kafka.XXXXXX")
        at_exit="rm -rf '$dir'"
    fi
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [ ! -e "$dir/formatted" ]; then
        rm -rf "$dir/data"
        configure "$dir"
    fi
    serve "$dir" "$at_exit"
}

serve() {
    local dir=$1 at_exit=$2 said
    touch "$dir/log"
    said=$(($(wc -c <"$dir/log") + 1))
    # shellcheck disable=SC2086
    java -Xmx512m -XX:+UseSerialGC ${BROKER_JAVA_FLAGS:-} \
        "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$cache/*" \
        kafka.Kafka "$dir/server.properties" >>"$dir/log" 2>&1 </dev/null &
    local broker=$!
    echo "$broker" >"$dir/pid"
    # shellcheck disable=SC2064
    trap "{ kill -9 $broker; wait $broker; } 2>/dev/null || true; $at_exit" EXIT

    local port deadline=$((SECONDS + start_seconds_max))
    port=$(sed -n 's|^listeners=PLAINTEXT://127.0.0.1:\([0-9]*\),.*|\1|p' "$dir/server.properties")
    # It says so once the cluster counts on it: its port answers a little earlier.
    until tail -c "+$said" "$dir/log" | grep -q "Kafka Server started"; do
        kill -0 "$broker" 2>/dev/null || fail "the broker ended: $(tail -3 "$dir/log")"
        [ $SECONDS -lt $deadline ] || fail "the broker does not start: $(tail -3 "$dir/log")"
        sleep 0.1
    done
    echo "bootstrap.servers=127.0.0.1:$port"
    # Ends with the input, or when the one who started this is gone.
    cat >/dev/null
}

case "${1:-}" in
run) run "${2:-}" ;;
serve)
    fetch
    serve "$2" ""
    ;;
fetch)
    fetch
    echo "$cache"
    ;;
*) fail "usage: broker.sh run [DIR] | serve DIR | fetch" ;;
esac
