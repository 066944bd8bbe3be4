//! A cluster of brokers, each of which can be killed, paused and started again.
//!
//! Every broker is a controller, too, so that Kafka goes on as long as most of them live.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;

use crate::ports::free_port;
use crate::script::{Script, fetched};

/// The id of every cluster: they know nothing of each other.
const CLUSTER_ID: &str = "ZXZlcmxvZy10ZXN0cy0wMA";

/// What a cluster is to be.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many brokers it has.
    pub brokers: usize,
    /// Lines of every broker's `server.properties`, over those that are always there.
    pub properties: Vec<(String, String)>,
    /// Listeners beside `PLAINTEXT`, through which the brokers speak with each other.
    pub listeners: Vec<Listener>,
    /// Users, with their passwords, that listeners with SCRAM-SHA-512 know.
    pub scram_users: Vec<(String, String)>,
}

/// One more listener of every broker.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: String,
    /// The addresses that the brokers tell clients instead of their own, one for each broker; none:
    /// their own.
    pub advertised: Vec<String>,
}

impl ClusterOptions {
    /// A cluster of so many brokers.
    pub fn new(brokers: usize) -> Self {
        Self { brokers, properties: Vec::new(), listeners: Vec::new(), scram_users: Vec::new() }
    }

    /// Adds a line to `server.properties`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a listener that speaks `protocol`.
    #[must_use]
    pub fn listener(mut self, name: &str, protocol: &str) -> Self {
        let (name, protocol) = (name.to_owned(), protocol.to_owned());
        self.listeners.push(Listener { name, protocol, advertised: Vec::new() });
        self
    }

    /// Adds the listener `PROXIED`, which tells clients to come to these addresses, one for each
    /// broker: whoever listens there sends them on to [`KafkaCluster::addresses`] of `PROXIED`.
    #[must_use]
    pub fn proxied(mut self, advertised: Vec<String>) -> Self {
        assert_eq!(advertised.len(), self.brokers, "one address for each broker");
        let (name, protocol) = ("PROXIED".to_owned(), "PLAINTEXT".to_owned());
        self.listeners.push(Listener { name, protocol, advertised });
        self
    }

    /// Adds a user of SCRAM-SHA-512.
    #[must_use]
    pub fn scram_user(mut self, name: &str, password: &str) -> Self {
        self.scram_users.push((name.to_owned(), password.to_owned()));
        self
    }
}

/// A running cluster. Dropping it stops the brokers.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<Node>,
    // Behind the nodes: they are stopped first.
    _directory: TempDir,
}

#[derive(Debug)]
struct Node {
    directory: PathBuf,
    /// The listeners with their addresses, `PLAINTEXT` first.
    addresses: Vec<(String, String)>,
    script: Mutex<Option<Script>>,
}

impl KafkaCluster {
    /// Starts so many brokers, and waits until all of them serve.
    pub fn start(brokers: usize) -> Self {
        Self::with(&ClusterOptions::new(brokers))
    }

    /// Starts a cluster as it is described.
    ///
    /// Panics, with what the script says, where Java or Maven is missing or a broker does not start.
    pub fn with(options: &ClusterOptions) -> Self {
        let directory = TempDir::with_prefix("everlog-kafka").expect("failed to make a folder");
        let controllers: Vec<u16> = (0..options.brokers).map(|_| free_port()).collect();
        let nodes: Vec<_> = (0..options.brokers)
            .map(|index| Node::configure(directory.path(), index, &controllers, options))
            .collect();
        let cluster = Self { nodes, _directory: directory };
        let mut formats: Vec<_> =
            cluster.nodes.iter().map(|node| node.format(options).spawn()).collect();
        for format in &mut formats {
            let ended = format.as_mut().expect("failed to run java").wait();
            assert!(
                ended.is_ok_and(|status| status.success()),
                "failed to format a broker's folder"
            );
        }
        let scripts: Vec<_> =
            cluster.nodes.iter().map(|node| Script::spawn_serve(&node.directory)).collect();
        for (node, mut script) in cluster.nodes.iter().zip(scripts) {
            script.await_broker();
            *node.script() = Some(script);
        }
        cluster
    }

    /// The number of brokers.
    pub fn brokers(&self) -> usize {
        self.nodes.len()
    }

    /// Where clients connect, as `host:port,…` of all brokers.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers_of("PLAINTEXT")
    }

    /// The same by another listener; of one that advertises other addresses, those.
    pub fn bootstrap_servers_of(&self, listener: &str) -> String {
        let advertised = self.nodes.iter().map(|node| node.advertised(listener));
        advertised.collect::<Vec<_>>().join(",")
    }

    /// Where a listener of each broker really listens.
    pub fn addresses(&self, listener: &str) -> Vec<String> {
        self.nodes.iter().map(|node| node.address(listener).to_owned()).collect()
    }

    /// Ends a broker at once, as `kill -9` does.
    pub fn kill(&self, broker: usize) {
        self.node(broker).signal(Signal::KILL);
        *self.node(broker).script() = None;
    }

    /// Stops a broker where it stands; its connections stay open.
    pub fn pause(&self, broker: usize) {
        self.node(broker).signal(Signal::STOP);
    }

    /// Lets a paused broker go on.
    pub fn resume(&self, broker: usize) {
        self.node(broker).signal(Signal::CONT);
    }

    /// From now on no file of a broker can grow, as on a full disk: each write fails. It lasts until
    /// the broker is started again.
    pub fn fill_disk(&self, broker: usize) {
        let pid = Some(self.node(broker).pid());
        let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: Some(0), maximum };
        prlimit(pid, Resource::Fsize, limit).expect("the broker runs, and is ours");
    }

    /// Ends a broker, if it still runs, starts it again with its data, and waits until it serves.
    pub fn restart(&self, broker: usize) {
        self.start_again(&[broker]);
    }

    /// The same for several at once: where most are down, one alone cannot start.
    pub fn start_again(&self, brokers: &[usize]) {
        let mut started = Vec::new();
        for broker in brokers {
            let node = self.node(*broker);
            *node.script() = None;
            started.push((node, Script::spawn_serve(&node.directory)));
        }
        for (node, mut script) in started {
            script.await_broker();
            *node.script() = Some(script);
        }
    }

    /// What a broker has said: warnings and errors.
    pub fn log(&self, broker: usize) -> String {
        fs::read_to_string(self.node(broker).directory.join("log")).unwrap_or_default()
    }

    /// The folder of a broker's data.
    pub fn data(&self, broker: usize) -> PathBuf {
        self.node(broker).directory.join("data")
    }

    /// Runs one of Kafka's own tools, such as `org.apache.kafka.tools.TopicCommand`, against this
    /// cluster, and returns what it prints. Panics where it fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        tool(&self.bootstrap_servers(), class, arguments)
    }

    /// The same, where it may fail: returns what it says of that.
    pub fn try_tool(&self, class: &str, arguments: &[&str]) -> Result<String, String> {
        try_tool(&self.bootstrap_servers(), class, arguments)
    }

    fn node(&self, broker: usize) -> &Node {
        self.nodes.get(broker).unwrap_or_else(|| panic!("there is no broker {broker}"))
    }
}

/// Runs one of Kafka's own tools against the brokers at `bootstrap_servers`.
pub fn tool(bootstrap_servers: &str, class: &str, arguments: &[&str]) -> String {
    try_tool(bootstrap_servers, class, arguments)
        .unwrap_or_else(|said| panic!("{class} {arguments:?}: {said}"))
}

fn try_tool(bootstrap_servers: &str, class: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = java();
    command.arg(class).args(["--bootstrap-server", bootstrap_servers]).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("failed to run java");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() { Ok(said) } else { Err(said + &String::from_utf8_lossy(&stderr)) }
}

fn java() -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(fetched().join("*"));
    command
}

impl Node {
    fn configure(
        above: &Path,
        index: usize,
        controllers: &[u16],
        options: &ClusterOptions,
    ) -> Self {
        let directory = above.join(format!("broker-{index}"));
        fs::create_dir_all(&directory).expect("failed to make a folder");
        let plain = ("PLAINTEXT".to_owned(), "PLAINTEXT".to_owned());
        let others =
            options.listeners.iter().map(|other| (other.name.clone(), other.protocol.clone()));
        let listeners: Vec<_> = std::iter::once(plain).chain(others).collect();
        let mut addresses = Vec::new();
        let (mut listening, mut advertising) = (Vec::new(), Vec::new());
        let mut protocols = vec!["CONTROLLER:PLAINTEXT".to_owned()];
        for (name, protocol) in listeners {
            let own = format!("127.0.0.1:{}", free_port());
            let listener = options.listeners.iter().find(|listener| listener.name == name);
            let told = listener.and_then(|listener| listener.advertised.get(index)).unwrap_or(&own);
            listening.push(format!("{name}://{own}"));
            advertising.push(format!("{name}://{told}"));
            protocols.push(format!("{name}:{protocol}"));
            addresses.push((name, own));
        }
        let controller = controllers.get(index).expect("each broker has one");
        listening.push(format!("CONTROLLER://127.0.0.1:{controller}"));
        let voters: Vec<_> =
            (1..).zip(controllers).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        let replicas = options.brokers.min(3).to_string();
        let insync = options.brokers.min(2).to_string();
        let mut lines = String::new();
        let data = directory.join("data").display().to_string();
        for (name, value) in [
            ("process.roles", "broker,controller"),
            ("node.id", &(index + 1).to_string()),
            ("listeners", &listening.join(",")),
            ("advertised.listeners", &advertising.join(",")),
            ("listener.security.protocol.map", &protocols.join(",")),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("controller.listener.names", "CONTROLLER"),
            ("controller.quorum.voters", &voters.join(",")),
            ("log.dirs", &data),
            ("auto.create.topics.enable", "false"),
            ("offsets.topic.num.partitions", "4"),
            ("offsets.topic.replication.factor", &replicas),
            ("transaction.state.log.num.partitions", "4"),
            ("transaction.state.log.replication.factor", &replicas),
            ("transaction.state.log.min.isr", &insync),
            ("group.initial.rebalance.delay.ms", "0"),
        ]
        .into_iter()
        .chain(options.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        {
            writeln!(lines, "{name}={value}").expect("a text takes everything");
        }
        fs::write(directory.join("server.properties"), lines).expect("failed to write");
        fs::write(directory.join("log4j2.properties"), include_str!("log4j2.properties"))
            .expect("failed to write");
        Self { directory, addresses, script: Mutex::new(None) }
    }

    fn format(&self, options: &ClusterOptions) -> Command {
        let log = fs::File::create(self.directory.join("format.log")).expect("failed to write");
        let mut command = java();
        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
        command.arg(self.directory.join("server.properties"));
        for (name, password) in &options.scram_users {
            command.arg("--add-scram");
            command.arg(format!("SCRAM-SHA-512=[name={name},password={password}]"));
        }
        command.stdout(log);
        command
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Option<Script>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, listener: &str) -> &str {
        let found = self.addresses.iter().find(|(name, _)| name == listener);
        &found.unwrap_or_else(|| panic!("there is no listener {listener}")).1
    }

    fn advertised(&self, listener: &str) -> String {
        let configured =
            fs::read_to_string(self.directory.join("server.properties")).expect("it was written");
        let line = configured.lines().find_map(|line| line.strip_prefix("advertised.listeners="));
        let told = line
            .unwrap_or_default()
            .split(',')
            .find_map(|told| told.strip_prefix(listener)?.strip_prefix("://").map(str::to_owned));
        told.unwrap_or_else(|| panic!("there is no listener {listener}"))
    }

    fn pid(&self) -> Pid {
        let pid = fs::read_to_string(self.directory.join("pid")).expect("the broker was started");
        pid.trim().parse().ok().and_then(Pid::from_raw).expect("it is a process id")
    }

    fn signal(&self, signal: Signal) {
        // It may be gone already.
        let _ = kill_process(self.pid(), signal);
    }
}
