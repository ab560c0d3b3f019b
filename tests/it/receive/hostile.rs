//! Requests that mean harm, or look as if they did.

use std::time::Duration;

use leadfold::event::preset;
use leadfold::receive::{Connections, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::{Server, TOKEN, body, has_header, post, status};

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_and_the_answer_arrives() {
    let server = Server::start().await;
    let path = format!("/in/bot/{TOKEN}");
    let answer = server.send(post(&path, "", &"x".repeat(10_000_000))).await;
    assert_eq!(status(&answer), 413);
    assert!(body(&answer).contains("1048576 bytes"), "{answer}");

    // Announced as too long: refused before a byte of it has come.
    let announced =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n");
    assert_eq!(status(&server.send(announced).await), 413);

    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = server.send(format!("{head}{}", chunk.repeat(17))).await;
    assert_eq!(status(&answer), 413);
    assert_eq!(status(&server.send(format!("{head}{}0\r\n\r\n", chunk.repeat(16))).await), 200);
    assert_eq!(status(&server.send(format!("{head}no hexadecimal\r\n")).await), 400);
    let lying = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n");
    assert_eq!(status(&server.send(lying).await), 400);
    assert_eq!(server.kept().len(), 1);
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let server = Server::start().await;
    let path = format!("/in/bot/{TOKEN}");
    let many = "X: 1\r\n".repeat(101);
    let long = format!("X-Flood: {}\r\n", "x".repeat(1_000_000));
    for headers in [many, long] {
        let answer = server.send(post(&path, &headers, "{}")).await;
        assert_eq!(status(&answer), 431, "{answer}");
    }
    let answer = server.send(post(&format!("{path}?{}", "a=1&".repeat(100_000)), "", "{}")).await;
    assert!([414, 431].contains(&status(&answer)), "{answer}");
    assert_eq!(server.kept().len(), 0);
    assert_eq!(status(&server.post(&path, "{}").await), 200);
}

#[tokio::test]
async fn slow_senders_are_sent_away() {
    let limits = Limits { body_time: Duration::from_millis(200), ..Limits::default() };
    let connections = Connections { header_time: Duration::from_millis(300), ..Connections::default() };
    let server = Server::start_with(limits, connections).await;
    let path = format!("/in/bot/{TOKEN}");

    // One byte at a time, each well within any idle time-out.
    let (mut reader, mut writer) = server.connect().await.into_split();
    let drip = tokio::spawn(async move {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        writer.write_all(head.as_bytes()).await.ok();
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    timeout(Duration::from_secs(3), reader.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    drip.abort();

    let mut silent = server.connect().await;
    silent.write_all(b"POST /in/bot HTTP/1.1\r\nX-Never-").await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), silent.read_to_end(&mut answer)).await.expect("must be closed").unwrap();
    assert_eq!(server.kept().len(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept() {
    let server = Server::start().await;
    let path = format!("/in/form/{TOKEN}");
    let mut stream = server.connect().await;
    let half =
        post(&path, "Content-Type: multipart/form-data; boundary=XX\r\n", "--XX\r\n").replace(": 6", ": 600");
    stream.write_all(half.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap().ok();
    assert!(!answer.starts_with(b"HTTP/1.1 2"));
    assert_eq!(server.kept().len(), 0);
}

#[tokio::test]
async fn bodies_that_nobody_can_read_are_kept_and_found_unreadable() {
    let server = Server::start().await;
    let deep = "[".repeat(10_000);
    let bot = format!("/in/bot/{TOKEN}");
    assert_eq!(status(&server.post(&bot, &deep).await), 200);
    let endless = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end";
    let multipart = "Content-Type: multipart/form-data; boundary=XX\r\n";
    assert_eq!(status(&server.send(post(&format!("/in/form/{TOKEN}"), multipart, endless)).await), 200);
    for arrival in server.kept() {
        let name = if arrival.delivery.source == "bot" { "json" } else { "form" };
        assert!((preset(name).unwrap().split)(&arrival.delivery).is_err());
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let one = |body: &str, path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let path = format!("/in/bot/{TOKEN}");
    let requests = one("1", &path) + &one("2", "/in/bot/wrong") + &one("3", &path) + &post(&path, "", "4");
    let answers = server.send(requests).await;
    let statuses: Vec<_> = answers
        .lines()
        .filter(|line| line.contains("HTTP/1.1 "))
        .map(|line| {
            let at = line.find("HTTP/1.1 ").unwrap();
            line.get(at + 9..at + 12).unwrap()
        })
        .collect();
    assert_eq!(statuses, ["200", "404", "200", "200"], "{answers}");
    let bodies: Vec<_> = server.kept().into_iter().map(|arrival| arrival.delivery.body).collect();
    assert_eq!(bodies, [b"1", b"3", b"4"]);
}

#[tokio::test]
async fn requests_beyond_the_bound_are_told_to_come_back() {
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let server = Server::start_with(limits, Connections::default()).await;
    let path = format!("/in/bot/{TOKEN}");
    server.storage.send_replace(None);
    let first = async {
        let answer = server.post(&path, "1").await;
        assert_eq!(status(&answer), 200);
    };
    let second = async {
        sleep(Duration::from_millis(200)).await;
        let answer = server.post(&path, "2").await;
        assert_eq!(status(&answer), 503, "{answer}");
        assert!(has_header(&answer, "retry-after: 5"), "{answer}");
        server.storage.send_replace(Some(Ok(())));
    };
    tokio::join!(first, second);
    assert_eq!(status(&server.post(&path, "3").await), 200);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let connections = Connections { at_once: 1, ..Connections::default() };
    let server = Server::start_with(Limits::default(), connections).await;
    let idle = server.connect().await;
    sleep(Duration::from_millis(100)).await;
    let path = format!("/in/bot/{TOKEN}");
    let mut waiting = Box::pin(server.post(&path, "{}"));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    drop(idle);
    assert_eq!(status(&waiting.await), 200);
}
