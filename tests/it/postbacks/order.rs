//! Numbers are given in the order of arrival, whatever happens and however many do at once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::Net;
use crate::postgres::Database;

/// What happens at a network and in a bot.
#[derive(Clone, Debug)]
enum Happens {
    /// This person presses Start.
    Starts(usize),
    /// One of these events of this person is reported.
    Reports(usize, &'static str),
}

/// Few people and few events, so that they meet.
fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        1 => (0..4_usize).prop_map(Happens::Starts),
        4 => (0..4_usize, prop_oneof![Just("sale"), Just("resale")]).prop_map(|(who, what)| Happens::Reports(who, what)),
    ];
    proptest::collection::vec(one, 30..60)
}

/// Whatever happens in which order, each person's events have the numbers of the order in which they arrived.
async fn numbers_are_those_of_the_order_of_arrival(postgres: Option<Database>) {
    let shared = postgres.is_some();
    let net = Net::start(postgres).await;
    let other = if shared { Some(net.rig.another().await) } else { None };
    let mut runner = TestRunner::deterministic();
    let mut sent = 0;
    for round in 0..3 {
        let happens = happenings().new_tree(&mut runner).unwrap().current();
        let mut expect: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut counts: BTreeMap<(usize, &str), u32> = BTreeMap::new();
        for happens in &happens {
            match happens {
                Happens::Starts(who) => {
                    net.starts(&format!("{round}{who}"), &format!("c{round}-{who}"), "").await;
                }
                Happens::Reports(who, what) => {
                    sent += 1;
                    let click = format!("c{round}-{who}");
                    // Every other one goes to the other process.
                    let path =
                        format!("/in/network/net?clickid={click}&tracker.event={what}&tracker.cost={sent}");
                    let port = other.as_ref().filter(|_| sent % 2 == 0).map(|other| other.address.port());
                    let status = match port {
                        None => net.rig.get(&path).await.0,
                        Some(port) => get(port, path).await,
                    };
                    assert_eq!(status, 200);
                    let count = counts.entry((*who, what)).or_default();
                    *count += 1;
                    expect.entry(click).or_default().push(format!("{what}#{count}"));
                }
            }
        }
        // Whoever has not come comes now.
        for who in 0..4 {
            net.starts(&format!("{round}{who}"), &format!("c{round}-{who}"), "").await;
        }
        net.until_counts(0, sent, 0, 0).await;
        for (click, expect) in expect {
            assert_eq!(net.ordinals(&click).await, expect, "{click} of {happens:?}");
        }
    }
    if let Some(other) = other {
        other.stop().await;
    }
    net.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_those_of_the_order_of_arrival_in_one_process() {
    numbers_are_those_of_the_order_of_arrival(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_those_of_the_order_of_arrival_in_two_processes() {
    let Some(database) = Database::create().await else { return };
    numbers_are_those_of_the_order_of_arrival(Some(database)).await;
}

/// At once, in two processes, while the click ids are bound by two people each: no number twice and none left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_once_gets_every_number_once() {
    let Some(database) = Database::create().await else { return };
    let net = Net::start(Some(database)).await;
    let other = net.rig.another().await;
    let ports = [net.rig.app().address.port(), other.address.port()];
    let mut requests = Vec::new();
    for number in 0..60 {
        let click = number % 3;
        requests.push(get(
            ports[number % 2],
            format!("/in/network/net?clickid=c{click}&tracker.event=resale&tracker.cost={number}"),
        ));
        if number % 10 == 5 {
            // Two who come with one click id: whoever is first keeps it.
            requests.push(get(ports[number / 10 % 2], format!("/in/bot/bot?subid=c{click}&chatid={number}")));
        }
    }
    for click in 0..3 {
        requests.push(get(ports[click % 2], format!("/in/bot/bot?subid=c{click}&chatid=last-{click}")));
    }
    for status in futures_util::future::join_all(requests).await {
        assert_eq!(status, 200);
    }
    net.until_counts(0, 60, 0, 0).await;
    for click in 0..3 {
        let mut numbers: Vec<u64> = Vec::new();
        let mut people = Vec::new();
        for one in net.in_state("counted").await.iter().filter(|one| one["click"] == format!("c{click}")) {
            numbers.push(one["ordinal"].as_u64().unwrap());
            people.push(one["person"].clone());
        }
        numbers.sort_unstable();
        people.dedup();
        assert_eq!((numbers, people.len()), ((1..=20).collect(), 1));
    }
    other.stop().await;
    net.end().await;
}

#[expect(clippy::disallowed_methods, reason = "the test is the network")]
async fn get(port: u16, path: String) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap().status().as_u16()
}
