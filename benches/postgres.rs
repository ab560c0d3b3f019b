//! PostgreSQL as the registry: how many requests a second are acknowledged once they are durable, and how fast leads go on.
//!
//! `DATABASE_URL=postgres://user@host/postgres cargo bench --bench postgres` (the user makes databases of its own there)
//!
//! Sixty-four keep-alive connections post requests of 1.2 KB, each a new event of one of 50,000 humans. Generator, server
//! and database share the machine in all rows, and the rows take turns.
//!
//! * *insert a request*: an axum handler that inserts the same row and commits, through a pool of 16 connections.
//! * *kept*: the whole receiving path of one leadfold, with a paused source, so that nothing else is done meanwhile.
//!
//! To reach: kept ≥ 1.5 × insert a request.
//!
//! Then what several processes do together, each with 64 connections of its own: requests a second that are kept (from a
//! paused source), leads a second through preparing (posts until the last delivery is prepared, the CRM left out), leads a
//! second into a CRM of 20 ms (posts until the last lead is synced), and processor time a lead. `LEADFOLD_BENCH_PROCESSES`
//! says with how many (default `1,2,3`).
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/load.rs"]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use leadfold::app::{App, Door, Follow, Options, until_quiet};
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::map::Files;
use leadfold::receive::Limits;
use leadfold::store::Store;
use leadfold::telemetry::Metrics;
use load::{
    Measured, Until, count, median, nine_digits, now_millis, post, sendpulse_mapping, sendpulse_request,
};
use process::{Program, Scratch};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error>>;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const HUMANS: u64 = 50_000;
/// Leads of a round with processes.
const LEADS: u64 = 4_000;
const PATIENCE: Duration = Duration::from_mins(5);

fn main() -> Outcome<()> {
    #[expect(clippy::disallowed_methods, reason = "the usual way to tell of a database")]
    let (server, processes) = (std::env::var("DATABASE_URL"), std::env::var("LEADFOLD_BENCH_PROCESSES"));
    let Ok(server) = server else {
        println!("skipped: DATABASE_URL names no PostgreSQL");
        return Ok(());
    };
    let processes = processes.unwrap_or_else(|_| "1,2,3".to_owned());
    let processes = processes.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    leadfold::crm::http::install_tls();
    let runtime = Runtime::new()?;
    acknowledge(&runtime, &server)?;
    println!();
    println!(
        "{:<12}{:>18}{:>20}{:>24}{:>22}",
        "processes", "kept requests/s", "prepared leads/s", "CRM of 20 ms, leads/s", "processor ms a lead"
    );
    for processes in processes {
        let (kept, _) = together(&runtime, &server, processes, End::Kept)?;
        let (prepared, _) = together(&runtime, &server, processes, End::Prepared)?;
        let (synced, cost) = together(&runtime, &server, processes, End::Synced)?;
        println!("{processes:<12}{kept:>18.0}{prepared:>20.0}{synced:>24.0}{cost:>22.3}");
    }
    Ok(())
}

/// How far the leads of a round go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kept,
    Prepared,
    Synced,
}

/// An empty database, thrown away at the end.
struct Database<'a> {
    runtime: &'a Runtime,
    server: String,
    name: String,
    url: String,
}

impl<'a> Database<'a> {
    fn create(runtime: &'a Runtime, server: &str) -> Outcome<Self> {
        let name = format!("leadfold_bench_{}", SystemClock.new_id().simple());
        let (root, _) = server.rsplit_once('/').ok_or("DATABASE_URL is postgres://user@host/name")?;
        let database = Self { runtime, server: server.to_owned(), url: format!("{root}/{name}"), name };
        database.run(&format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }

    fn run(&self, sql: &str) -> Outcome<()> {
        let options: PgConnectOptions = self.server.parse()?;
        self.runtime.block_on(async {
            let mut connection = options.connect().await?;
            connection.execute(AssertSqlSafe(sql.to_owned())).await?;
            Ok(connection.close().await?)
        })
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name)) {
            println!("the database {} is left over: {error}", self.name);
        }
    }
}

/// Acknowledgements a second, the two rows in turns.
fn acknowledge(runtime: &Runtime, server: &str) -> Outcome<()> {
    let (plain_database, database) = (Database::create(runtime, server)?, Database::create(runtime, server)?);
    let scratch = Scratch::new("postgres")?;
    let app = runtime.block_on(App::start(options(&database.url, scratch.path())?))?;
    // The same table, made by the same migrations.
    let schema = runtime.block_on(Store::open(&plain_database.url, Arc::new(SystemClock)))?;
    runtime.block_on(schema.close());
    let plain = runtime.block_on(insert_a_request(&plain_database.url))?;

    let rows = [("insert a request", plain), ("kept", app.address)];
    let mut measured: Vec<Vec<Measured>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        for ((_, address), results) in rows.iter().zip(&mut measured) {
            let result = post(*address, CONNECTIONS, Until::Elapsed(ROUND), writer(HUMANS))?;
            // The first round warms up.
            if round > 0 {
                results.push(result);
            }
        }
    }
    println!("{:<20}{:>14}{:>14}{:>12}{:>12}", "", "requests/s", "of insert", "p50 ms", "p99 ms");
    let per_second = |results: &[Measured]| median(results.iter().map(Measured::per_second).collect());
    let of_plain = measured.first().map_or(f64::NAN, |results| per_second(results));
    for ((name, _), results) in rows.iter().zip(&mut measured) {
        let p50 = median(results.iter_mut().map(Measured::p50_millis).collect());
        let p99 = median(results.iter_mut().map(Measured::p99_millis).collect());
        let rate = per_second(results);
        println!("{name:<20}{rate:>14.0}{:>13.2}x{p50:>12.2}{p99:>12.2}", rate / of_plain);
    }
    println!("to reach: kept >= 1.50 x insert a request");
    runtime.block_on(app.stop());
    Ok(())
}

fn options(database: &str, folder: &Path) -> Outcome<Options> {
    let files = [("workspace.yaml", workspace("127.0.0.1:9", "paused")), ("sendpulse.yaml", paused_source())];
    Ok(Options {
        files: Files(files.map(|(name, text)| (name.to_owned(), text)).into()),
        folder: folder.to_owned(),
        follow: Follow::Database,
        read_only_workspace: true,
        database: database.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        door: Door::Demo,
        metrics: Metrics::start()?,
        public_url: None,
        limits: Limits::default(),
        environment: Arc::new(|_| None),
        clock: Arc::new(SystemClock),
    })
}

/// The shipped mapping, and nothing of it is prepared.
fn paused_source() -> String {
    sendpulse_mapping().replace("  preset: sendpulse\n", "  preset: sendpulse\n  paused: true\n")
}

fn workspace(crm: &str, mode: &str) -> String {
    format!(
        "destinations:\n  crm: {{ crm: sandbox, url: \"http://{crm}\", token: demo, concurrency: 64, mode: {mode} }}\n\
         owner_pools:\n  kyiv-sales: [olha, petro]\n"
    )
}

/// Requests whose events have not been before.
fn writer(humans: u64) -> impl Fn(u64, &mut Vec<u8>) {
    let start = now_millis();
    move |number, buffer| {
        let human = number * 7 % humans;
        sendpulse_request(buffer, &format!("+380{}", nine_digits(human)), human, start + number);
    }
}

/// What people write first.
async fn insert_a_request(database: &str) -> Outcome<SocketAddr> {
    let pool = PgPoolOptions::new().max_connections(16).test_before_acquire(false).connect(database).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let insert = async |State(pool): State<PgPool>, headers: HeaderMap, body: Bytes| {
        let kept: Vec<(&str, &str)> = ["content-type", "user-agent"]
            .into_iter()
            .filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)))
            .collect();
        let headers = serde_json::to_string(&kept).unwrap_or_default();
        let sql = "INSERT INTO deliveries (id, source, method, query, headers, body, received_at, state, why, \
                   unverified_token) VALUES ($1, 'sendpulse', 'POST', NULL, $2, $3, $4, 'waiting', 'paused', NULL)";
        let row = sqlx::query(sql)
            .bind(SystemClock.new_id().to_string())
            .bind(headers)
            .bind(&*body)
            .bind(SystemClock.now().as_millisecond());
        // A statement is a transaction of its own: it is durable when it returns.
        match row.execute(&pool).await {
            Ok(_) => (StatusCode::OK, r#"{"ok":true}"#),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"ok":false}"#),
        }
    };
    let router = Router::new().route("/in/{*path}", any(insert)).with_state(pool);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Leads a second of several processes on one database, and milliseconds of their processor time a lead.
fn together(runtime: &Runtime, server: &str, processes: usize, end: End) -> Outcome<(f64, f64)> {
    let database = Database::create(runtime, server)?;
    let crm_scratch = Scratch::new("postgres-crm")?;
    let crm = Program::sandbox(&crm_scratch, &["--latency-ms", "20"])?;
    let workspace = workspace(&crm.address.to_string(), if end == End::Synced { "live" } else { "paused" });
    let mapping = if end == End::Kept { paused_source() } else { sendpulse_mapping() };
    let files = [("workspace.yaml", &*workspace), ("sendpulse.yaml", &*mapping)];
    let scratches = (0..processes)
        .map(|number| Ok(Scratch::new(&format!("postgres-{number}"))?))
        .collect::<Outcome<Vec<Scratch>>>()?;
    let programs = scratches
        .iter()
        .map(|scratch| Ok(Program::serve_on(scratch, &database.url, &files)?))
        .collect::<Outcome<Vec<Program>>>()?;
    let processor_time = || programs.iter().map(Program::processor_time).sum::<std::io::Result<Duration>>();
    let (before, began) = (processor_time()?, Instant::now());
    let share = LEADS / u64::try_from(processes)?;
    std::thread::scope(|scope| {
        let posts: Vec<_> = programs
            .iter()
            .zip(0..)
            .map(|(program, number)| {
                let (write, address) = (writer(LEADS / 4), program.address);
                let write = move |post: u64, buffer: &mut Vec<u8>| write(number * share + post, buffer);
                scope.spawn(move || post_share(address, share, write))
            })
            .collect();
        posts.into_iter().try_for_each(|post| post.join().map_err(|_| "a generator panicked")?)
    })?;
    let posted = began.elapsed();
    let store = runtime.block_on(Store::open_to_read(&database.url))?;
    let done = async {
        match end {
            End::Kept => {}
            End::Prepared => {
                while store.counts().await?.received > 0 && began.elapsed() < PATIENCE {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            End::Synced => return until_quiet(&store, PATIENCE).await.map_err(Box::<dyn Error>::from),
        }
        Ok(began.elapsed() < PATIENCE)
    };
    if !runtime.block_on(done)? {
        return Err(format!("{processes} processes did not finish").into());
    }
    // What is kept is so when its sender has the answer.
    let took = if end == End::Kept { posted } else { began.elapsed() };
    let cost = processor_time()?.saturating_sub(before);
    runtime.block_on(store.close());
    drop(programs);
    let leads = count(share * u64::try_from(processes)?);
    Ok((leads / took.as_secs_f64(), cost.as_secs_f64() * 1000.0 / leads))
}

fn post_share(address: SocketAddr, share: u64, write: impl Fn(u64, &mut Vec<u8>)) -> Result<(), String> {
    let posted = post(address, CONNECTIONS, Until::Answered(share), write);
    posted.map(drop).map_err(|error| error.to_string())
}
