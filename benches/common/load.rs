//! A load generator that costs little: raw connections, requests written from pieces, answers hardly read.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// When a run ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// No request begins after this time.
    Elapsed(Duration),
    /// So many requests were answered.
    Answered(u64),
}

/// What a run measured.
pub(crate) struct Measured {
    pub(crate) answered: u64,
    pub(crate) took: Duration,
    latencies: Vec<Duration>,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        count(self.answered) / self.took.as_secs_f64()
    }

    /// The latency that half of the requests stayed below, in milliseconds.
    pub(crate) fn p50_millis(&mut self) -> f64 {
        self.percentile_millis(50)
    }

    /// The latency that 99 of 100 requests stayed below, in milliseconds.
    pub(crate) fn p99_millis(&mut self) -> f64 {
        self.percentile_millis(99)
    }

    fn percentile_millis(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let place = self.latencies.len() * percent / 100;
        self.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Posts over keep-alive connections, each sending its next request when the last one was answered 200.
/// `write` puts the request of a number into the buffer.
pub(crate) fn post(
    address: SocketAddr,
    connections: usize,
    until: Until,
    write: impl Fn(u64, &mut Vec<u8>),
) -> io::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let next = Cell::new(0_u64);
    let began = Instant::now();
    let number = || {
        let number = next.get();
        let goes_on = match until {
            Until::Elapsed(time) => began.elapsed() < time,
            Until::Answered(requests) => number < requests,
        };
        next.set(number + 1);
        goes_on.then_some(number)
    };
    let (number, write) = (&number, &write);
    let converse = || async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut request, mut answer) = (Vec::with_capacity(4096), [0_u8; 4096]);
        let mut latencies = Vec::new();
        while let Some(number) = number() {
            request.clear();
            write(number, &mut request);
            let sent = Instant::now();
            stream.write_all(&request).await?;
            // Both servers answer with one small packet.
            let length = stream.read(&mut answer).await?;
            latencies.push(sent.elapsed());
            let answer = answer.get(..length).unwrap_or_default();
            if !answer.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
            }
        }
        Ok(latencies)
    };
    let ended = runtime.block_on(join_all((0..connections).map(|_| converse())));
    let took = began.elapsed();
    let latencies: Vec<Duration> =
        ended.into_iter().collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(Measured { answered: u64::try_from(latencies.len()).unwrap_or(0), took, latencies })
}

/// The shipped mapping of these requests, without what it calls once the CRM has confirmed: benchmarks have no bots.
pub(crate) fn sendpulse_mapping() -> String {
    let shipped = include_str!("../../mappings/sendpulse.yaml");
    let (before, behind) = shipped.split_once("  after_done:\n").unwrap_or((shipped, ""));
    let behind = behind.split_inclusive('\n').skip_while(|line| line.starts_with("    "));
    before.to_owned() + &behind.collect::<String>()
}

/// Writes one request of `SendPulse`'s shape, with a body of about 1.2 KB. `at` is the event's own time in milliseconds,
/// which makes it a new event; `chat` is whose chat it is.
pub(crate) fn sendpulse_request(buffer: &mut Vec<u8>, phone: &str, chat: u64, at: u64) {
    let mut body = Vec::with_capacity(1400);
    // Writing to a Vec cannot fail.
    write!(
        body,
        r#"[{{"service":"telegram","title":"Замовлення консультації","bot":{{"id":"64f1a0c2b7d3e4a5c6f70812","url":"https://t.me/polynia_shop_bot","external_id":"6011223344","name":"Polynia Shop"}},"contact":{{"id":"666702a5d41b{chat:012x}","name":"Олена Вигадана","username":"olena_vyhadana","phone":null,"email":null,"photo":"https://login.sendpulse.com/api/chatbots-service/chatbots/media/photo?contact=666702a5d41b{chat:012x}&size=small","last_message":"Доброго дня! Підкажіть, будь ласка, чи є в наявності ця модель і скільки коштує доставка до Києва?","tags":["tg_ads","promo_june","консультація"],"variables":{{"name":"Олена Вигадана","phone":"{phone}","city":"Київ","utm_source":"tg_ads","utm_medium":"cpc","utm_campaign":"spring_sale_ua","product":"Кавомашина Polynia Latte 3000","comment":"Зателефонуйте після 18:00"}}}},"info":{{"message":{{"channel_data":{{"message_id":184467,"message":{{"text":"Так"}}}}}}}},"date":{at}}}]"#
    )
    .ok();
    write!(
        buffer,
        "POST /in/sendpulse/demo HTTP/1.1\r\nhost: leads.example\r\ncontent-type: application/json\r\n\
         user-agent: SendPulse\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .ok();
    buffer.extend_from_slice(&body);
}

/// A Ukrainian mobile number of its own for each human below 500,000, without the country code.
pub(crate) fn nine_digits(human: u64) -> String {
    format!("67{:07}", 1_100_003 + (human * 16_411) % 8_000_009)
}

/// The present time in milliseconds since 1970, so that events of one run are new to the next.
#[expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
pub(crate) fn now_millis() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The middle one of the measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn count(value: u64) -> f64 {
    value as f64
}
