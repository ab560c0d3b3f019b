//! Who pushes to which destination: leases, and the processes that hold them.
//!
//! A lease row is a destination, its holder (the id of a process), and an epoch that grows with every holding. A process
//! has a row that beats about once a second, so one statement renews all leases of a process however many there are.
//!
//! * A challenger that has watched a process without a beat for long enough removes its row, by compare-and-set on that
//!   very beat. A removed process never comes back under its old id: its next beat touches no row, and it knows.
//! * A lease is taken by compare-and-set on holder and epoch, and only when the holder is no living process.
//! * Every transaction that records something of a destination first updates the lease row where the epoch is its own
//!   ([`bump`]). That locks the row, so a take-over comes before such a transaction or after it, and whoever lost the lease
//!   records nothing.
//!
//! How long is long enough, and until when a holder is sure of its leases, is a matter of the callers: time is theirs.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::pauses::is_paused;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, placeholders};
use super::syncs::OPEN;
use super::{Store, StoreError, Work};

/// The holder of a lease that was handed over, or that nobody ever had.
const NOBODY: &str = "";

/// The right to push to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Name of the destination.
    pub destination: String,
    /// Which holding of the lease this is.
    pub epoch: i64,
    /// When this process took it, by its own clock.
    pub taken_at: Timestamp,
    /// Whether it was handed over, or nobody ever had it. Otherwise a process died with it or was frozen, and what that
    /// process was about to send nobody knows.
    pub clean: bool,
}

/// A process that lives, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id in the registry; another one after every start.
    pub id: String,
    /// Host and process id, for people.
    pub name: String,
    /// Whether it pushes, or only receives.
    pub pushes: bool,
    /// Changes while it lives.
    pub beat: i64,
    /// How many leases it holds.
    pub held: usize,
}

/// A lease as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Name of the destination.
    pub destination: String,
    /// Id of the process that holds or held it; empty when it was handed over, or nobody ever had it.
    pub holder: String,
    /// Which holding of the lease it is or was.
    pub epoch: i64,
}

/// What a process sees when it beats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Everybody who lives, itself included.
    pub processes: Vec<Process>,
    /// Its own leases.
    pub mine: Vec<LeaseRow>,
    /// Leases that no living process holds.
    pub free: Vec<LeaseRow>,
}

/// Who pushes to a destination, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Name of the destination.
    pub destination: String,
    /// Host and process id of the holder; `None` while nobody holds it.
    pub holder: Option<String>,
    /// Which holding it is or was.
    pub epoch: i64,
}

impl Store {
    /// Enters a process under an id that was never used.
    pub async fn enter_process(&self, id: &str, name: &str) -> Result<(), StoreError> {
        self.write(Enter { id: id.to_owned(), name: name.to_owned() }).await
    }

    /// Renews all leases of a process, and says what it sees; `None` when others have given it up: then nothing is its own.
    ///
    /// On PostgreSQL this has a connection of its own, so that busy ones never cost a lease. Whoever stops waiting for it
    /// gets a new connection the next time.
    pub async fn beat(&self, process: &str, pushes: bool) -> Result<Option<Seen>, StoreError> {
        self.write_apart(Beat { process: process.to_owned(), pushes }).await
    }

    /// Removes the row of a process that ended; its beat does not matter.
    pub async fn leave(&self, process: &str) -> Result<(), StoreError> {
        self.write(Remove { process: process.to_owned(), beat: None }).await.map(drop)
    }

    /// Gives up a process that has not beaten since. Returns whether that is still so.
    pub async fn give_up(&self, process: &Process) -> Result<bool, StoreError> {
        self.write(Remove { process: process.id.clone(), beat: Some(process.beat) }).await
    }

    /// Makes sure that these destinations have a lease that can be taken.
    pub async fn announce_leases(&self, destinations: Vec<String>) -> Result<(), StoreError> {
        self.write(Announce(destinations)).await
    }

    /// Takes those of these leases that are as they were seen; `now` is by the clock of this process.
    pub async fn take_leases(
        &self,
        process: &str,
        leases: Vec<LeaseRow>,
        now: Timestamp,
    ) -> Result<Vec<Lease>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.write(Take { process: process.to_owned(), leases, now }).await
    }

    /// Begins the next epoch of a lease that a process holds: everything it had in its hands is free again. `None` when it
    /// does not hold it any more.
    pub async fn begin_anew(&self, process: &str, lease: &Lease) -> Result<Option<Lease>, StoreError> {
        self.write(BeginAnew { process: process.to_owned(), lease: lease.clone() }).await
    }

    /// Hands leases over: whoever looks next may take them. Those that this process does not hold any more stay as they are.
    pub async fn hand_over(&self, process: &str, leases: Vec<(String, i64)>) -> Result<(), StoreError> {
        if leases.is_empty() {
            return Ok(());
        }
        self.write(HandOver { process: process.to_owned(), leases }).await
    }

    /// Takes a lease at once, whoever holds it: for somebody who knows that nobody else runs, such as a test.
    pub async fn take_lease(&self, destination: &str, holder: &str) -> Result<Lease, StoreError> {
        self.write(Seize { destination: destination.to_owned(), holder: holder.to_owned() }).await
    }

    /// Those destinations of a process that have something due which is in nobody's hands, and that nobody paused. One
    /// statement for all of them.
    pub async fn due_destinations(&self, process: &str, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT leases.destination FROM leases WHERE leases.holder = $1 \
             AND NOT {} \
             AND EXISTS (SELECT 1 FROM syncs \
             WHERE syncs.destination = leases.destination AND syncs.{OPEN} AND syncs.next_at <= $2 \
             AND syncs.claimed <> leases.epoch)",
            is_paused("leases.destination")
        );
        let rows = self.read(&sql, args![process, now.as_millisecond()]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Who pushes where, by destination.
    pub async fn leases(&self) -> Result<Vec<Holding>, StoreError> {
        let sql = "SELECT leases.destination, processes.name, leases.epoch FROM leases \
                   LEFT JOIN processes ON processes.id = leases.holder ORDER BY leases.destination";
        let rows = self.read(sql, Vec::new()).await?;
        rows.iter()
            .map(|row| {
                Ok(Holding { destination: row.text(0)?, holder: row.optional_text(1)?, epoch: row.int(2)? })
            })
            .collect()
    }
}

/// Bumps the lease row where the epoch is ours, once in a transaction. Nothing is recorded by a process that lost its
/// lease.
pub(super) async fn bump(connection: &mut Connection, lease: &Lease) -> Result<(), StoreError> {
    if connection.has_bumped(&lease.destination, lease.epoch) {
        return Ok(());
    }
    bump_noting(connection, lease, None).await
}

/// Bumps the lease row, and notes what was used of the account's rate budget.
pub(super) async fn bump_noting(
    connection: &mut Connection,
    lease: &Lease,
    budget: Option<&str>,
) -> Result<(), StoreError> {
    let bumped = connection
        .execute(
            "UPDATE leases SET beat = beat + 1, budget = COALESCE($3, budget) WHERE destination = $1 AND epoch = $2",
            args![lease.destination.as_str(), lease.epoch, budget.map(str::to_owned)],
        )
        .await?;
    if bumped == 1 {
        connection.remember_bumped(&lease.destination, lease.epoch);
        Ok(())
    } else {
        Err(StoreError::for_good(format!(
            "another process pushes to '{}' now; this one records nothing more",
            lease.destination
        )))
    }
}

struct Enter {
    id: String,
    name: String,
}

impl Work for Enter {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            // Entered again when the answer to its commit was lost.
            let sql = "INSERT INTO processes (id, name, pushes, beat) VALUES ($1, $2, 0, 0) \
                       ON CONFLICT (id) DO NOTHING";
            connection.execute(sql, args![self.id.as_str(), self.name.as_str()]).await.map(drop)
        })
    }
}

struct Beat {
    process: String,
    pushes: bool,
}

impl Work for Beat {
    type Output = Option<Seen>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Option<Seen>, StoreError>> {
        Box::pin(async move {
            let renew = "UPDATE processes SET beat = beat + 1, pushes = $2 WHERE id = $1";
            let renewed =
                connection.execute(renew, args![self.process.as_str(), i64::from(self.pushes)]).await?;
            if renewed == 0 {
                return Ok(None);
            }
            let mut seen = Seen::default();
            let sql = "SELECT p.id, p.name, p.pushes, p.beat, COUNT(l.destination) FROM processes p \
                       LEFT JOIN leases l ON l.holder = p.id GROUP BY p.id, p.name, p.pushes, p.beat ORDER BY p.id";
            for row in connection.fetch(sql, Vec::new()).await? {
                seen.processes.push(Process {
                    id: row.text(0)?,
                    name: row.text(1)?,
                    pushes: row.int(2)? != 0,
                    beat: row.int(3)?,
                    held: usize::try_from(row.int(4)?).unwrap_or(0),
                });
            }
            let sql = "SELECT destination, holder, epoch FROM leases WHERE holder = $1 \
                       OR NOT EXISTS (SELECT 1 FROM processes WHERE processes.id = leases.holder) \
                       ORDER BY destination";
            for row in connection.fetch(sql, args![self.process.as_str()]).await? {
                let lease = LeaseRow { destination: row.text(0)?, holder: row.text(1)?, epoch: row.int(2)? };
                let of = if lease.holder == self.process { &mut seen.mine } else { &mut seen.free };
                of.push(lease);
            }
            Ok(Some(seen))
        })
    }
}

struct Remove {
    process: String,
    /// Only with this beat.
    beat: Option<i64>,
}

impl Work for Remove {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut sql = "DELETE FROM processes WHERE id = $1".to_owned();
            let mut arguments = args![self.process.as_str()];
            if let Some(beat) = self.beat {
                sql.push_str(" AND beat = $2");
                arguments.push(beat.into());
            }
            let removed = connection.execute(&sql, arguments).await?;
            Ok(removed > 0)
        })
    }
}

struct Announce(Vec<String>);

impl Work for Announce {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let rows = self.0.iter().map(|name| args![name.as_str(), NOBODY, 0, 0]).collect();
            connection
                .insert_rows(
                    "leases (destination, holder, epoch, beat)",
                    rows,
                    "ON CONFLICT (destination) DO NOTHING",
                )
                .await
        })
    }
}

struct Take {
    process: String,
    leases: Vec<LeaseRow>,
    now: Timestamp,
}

impl Work for Take {
    type Output = Vec<Lease>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>> {
        Box::pin(async move {
            // In one transaction with it there may be work of the holder until now.
            connection.forget_bumped();
            let mut taken = Vec::with_capacity(self.leases.len());
            for piece in self.leases.chunks(ROWS_PER_STATEMENT) {
                let rows: Vec<Vec<Arg>> = piece
                    .iter()
                    .map(|lease| args![lease.destination.as_str(), lease.holder.as_str(), lease.epoch])
                    .collect();
                let sql = format!(
                    "UPDATE leases SET holder = ${}, epoch = leases.epoch + 1, beat = 0 FROM (VALUES {}) AS seen \
                     WHERE leases.destination = seen.column1 AND leases.holder = seen.column2 \
                     AND leases.epoch = seen.column3 \
                     AND NOT EXISTS (SELECT 1 FROM processes WHERE processes.id = seen.column2) RETURNING destination, epoch",
                    rows.len() * 3 + 1,
                    placeholders(&rows),
                );
                let mut arguments: Vec<Arg> = rows.into_iter().flatten().collect();
                arguments.push(self.process.as_str().into());
                for row in connection.fetch(&sql, arguments).await? {
                    let (destination, epoch) = (row.text(0)?, row.int(1)?);
                    let clean =
                        piece.iter().any(|lease| lease.destination == destination && lease.holder == NOBODY);
                    taken.push(Lease { destination, epoch, taken_at: self.now, clean });
                }
            }
            taken.sort_by(|one, other| one.destination.cmp(&other.destination));
            Ok(taken)
        })
    }
}

struct BeginAnew {
    process: String,
    lease: Lease,
}

impl Work for BeginAnew {
    type Output = Option<Lease>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        Box::pin(async move {
            connection.forget_bumped();
            let Lease { destination, epoch, .. } = &self.lease;
            let sql = "UPDATE leases SET epoch = epoch + 1, beat = 0 \
                       WHERE destination = $1 AND holder = $2 AND epoch = $3 RETURNING epoch";
            let rows =
                connection.fetch(sql, args![destination.as_str(), self.process.as_str(), *epoch]).await?;
            let epoch = rows.first().map(|row| row.int(0)).transpose()?;
            Ok(epoch.map(|epoch| Lease { epoch, ..self.lease.clone() }))
        })
    }
}

struct HandOver {
    process: String,
    leases: Vec<(String, i64)>,
}

impl Work for HandOver {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            connection.forget_bumped();
            for piece in self.leases.chunks(ROWS_PER_STATEMENT) {
                let rows: Vec<Vec<Arg>> =
                    piece.iter().map(|(destination, epoch)| args![destination.as_str(), *epoch]).collect();
                let (holder, nobody) = (rows.len() * 2 + 1, rows.len() * 2 + 2);
                let sql = format!(
                    "UPDATE leases SET holder = ${nobody} FROM (VALUES {}) AS mine \
                     WHERE leases.destination = mine.column1 AND leases.epoch = mine.column2 \
                     AND leases.holder = ${holder}",
                    placeholders(&rows),
                );
                let mut arguments: Vec<Arg> = rows.into_iter().flatten().collect();
                arguments.extend(args![self.process.as_str(), NOBODY]);
                connection.execute(&sql, arguments).await?;
            }
            Ok(())
        })
    }
}

struct Seize {
    destination: String,
    holder: String,
}

impl Work for Seize {
    type Output = Lease;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Lease, StoreError>> {
        Box::pin(async move {
            connection.forget_bumped();
            let rows = connection
                .fetch(
                    "INSERT INTO leases (destination, holder, epoch, beat) VALUES ($1, $2, 1, 0) \
                     ON CONFLICT (destination) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1, \
                     beat = 0 RETURNING epoch",
                    args![self.destination.as_str(), self.holder.as_str()],
                )
                .await?;
            let epoch = rows.first().ok_or_else(|| StoreError::damaged("no lease row"))?.int(0)?;
            // Whoever knows that nobody else runs has nothing to wait for.
            let taken_at = Timestamp::UNIX_EPOCH;
            Ok(Lease { destination: self.destination.clone(), epoch, taken_at, clean: true })
        })
    }
}
