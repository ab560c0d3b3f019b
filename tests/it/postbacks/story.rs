//! What happens to postbacks, told once for each database.

use super::*;

pub(super) async fn postbacks_wait_for_their_click_id_and_are_counted_in_the_order_of_arrival(
    postgres: Option<Database>,
) {
    let net = Net::start(postgres).await;
    net.sends("clickid=67aB&tracker.event=registration&fields.user_id=884412").await;
    net.sends("clickid=67aB&tracker.event=sale&tracker.cost=50.00&tracker.currency=usd").await;
    for cost in [10, 20, 30] {
        net.sends(&format!("clickid=67aB&tracker.event=resale&tracker.cost={cost}")).await;
    }
    net.sends("clickid=other&tracker.event=sale").await;
    net.sends("tracker.event=sale&tracker.cost=1").await;
    net.until_counts(6, 0, 0, 0).await;
    // Whoever waits is seen, with what it waits for and until when.
    let waiting = net.in_state("waiting").await;
    assert_eq!(waiting[0]["until"], "2026-05-11T10:00:00Z");
    assert_eq!(
        (waiting[0]["event"].as_str(), waiting[0]["click"].as_str()),
        (Some("registration"), Some("67aB"))
    );
    let counts = net.rig.counts().await;
    assert_eq!(
        (counts.waiting_deliveries, counts.filtered),
        (6, 1),
        "the one without a click id is untrackable"
    );

    net.starts("700000101", "67aB", "&username=Olena&phone=0671234567").await;
    net.until_counts(1, 5, 0, 0).await;
    assert_eq!(net.ordinals("67aB").await, ["registration#1", "sale#1", "resale#1", "resale#2", "resale#3"]);
    let fields = net.fields("700000101").await;
    assert_eq!(fields["user_id"], "884412");
    assert_eq!(
        (fields["second"].as_str(), fields["resale"].as_str()),
        ("20", "3"),
        "plain resale ran for 1 and 3"
    );
    assert_eq!(net.rig.contact().await["fields"]["last_deposit"], "50.00", "the CRM was told of the sale");
    assert_eq!((net.rig.stats().contacts, net.rig.stats().deals), (1, 1), "and made nothing of it");

    // From now on each is counted when it comes.
    net.sends("subid=67aB&status=resale&cost=40").await;
    net.sends("clickid=67aB&tracker.event=withdrawal").await;
    net.until_counts(1, 7, 0, 0).await;
    let counted = net.in_state("counted").await;
    let lead = net.lead(&counted[5]["lead"]).await;
    assert_eq!(lead["lead"]["postback"]["ordinal"], 4);
    assert_eq!(lead["decision"]["rule"], "by_click");
    // Nobody has a branch for it, and it is counted and theirs all the same.
    let lead = net.lead(&counted[6]["lead"]).await;
    assert_eq!((lead["state"].as_str(), lead["why"]["code"].as_str()), (Some("filtered"), Some("no_branch")));
    assert_eq!(lead["person"], counted[5]["person"]);
    net.end().await;
}

pub(super) async fn a_repeat_is_dropped_seen_and_counted_by_hand(postgres: Option<Database>) {
    let net = Net::start(postgres).await;
    net.starts("1", "c1", "").await;
    net.rig.settle().await;
    let deposit = "clickid=c1&tracker.event=resale&tracker.cost=10";
    net.sends(deposit).await;
    net.clock.advance(SignedDuration::from_secs(59));
    net.sends(deposit).await;
    net.sends(&format!("{deposit}&event_id=77")).await;
    net.sends(&format!("{deposit}&event_id=77")).await;
    net.until_counts(0, 2, 2, 0).await;
    assert_eq!(net.ordinals("c1").await, ["resale#1", "resale#2"]);
    assert!(!net.fields("1").await.is_empty());
    let repeats = net.in_state("repeat").await;
    let first = net.in_state("counted").await[0].clone();
    assert_eq!(repeats[0]["repeats"], first["lead"], "it is seen as a repeat of the first");
    assert_eq!(net.lead(&first["lead"]).await["redeliveries"].as_array().unwrap().len(), 1);

    // It was a deposit of its own.
    let counted = net.corrects("count", &repeats[0]["event_id"]).await;
    assert_eq!((counted["made"].as_bool(), counted["postback"]["ordinal"].as_u64()), (Some(true), Some(3)));
    net.until_counts(0, 3, 1, 0).await;
    assert_eq!(net.fields("1").await["resale"], "3", "what a branch has for it was done");
    let (status, refused) =
        net.asks("/api/postbacks/count", json!({ "which": counted["postback"]["lead"] })).await;
    assert_eq!((status, refused["error"].as_str()), (422, Some("it is counted already, as resale#3")));

    // And the first was none: those behind it move up, the next gets the right number, and nothing is done again.
    let uncounted = net.corrects("uncount", &first["lead"]).await;
    assert_eq!(
        (&uncounted["postback"]["state"], &uncounted["postback"]["ordinal"]),
        (&json!("uncounted"), &Value::Null)
    );
    let ordinals: Vec<Value> =
        net.in_state("counted").await.iter().map(|one| one["ordinal"].clone()).collect();
    // In the order of arrival: the one counted by hand came before the one with an id.
    assert_eq!(ordinals, [2, 1]);
    net.clock.advance(SignedDuration::from_secs(61));
    net.sends(deposit).await;
    net.until_counts(0, 3, 1, 0).await;
    assert_eq!(net.ordinals("c1").await.last().unwrap(), "resale#3");
    // Counted after all, it gets the next number, and its lead is not made a second time.
    let leads = net.rig.counts().await.leads;
    let again = net.corrects("count", &first["delivery"]).await;
    assert_eq!((again["made"].as_bool(), again["postback"]["ordinal"].as_u64()), (Some(false), Some(4)));
    assert_eq!((&again["postback"]["lead"], net.rig.counts().await.leads), (&first["lead"], leads));
    for (how, which) in [("count", json!("nonsense")), ("uncount", repeats[1]["event_id"].clone())] {
        let (status, _) = net.asks(&format!("/api/postbacks/{how}"), json!({ "which": which })).await;
        assert_eq!(status, 422);
    }
    net.end().await;
}

pub(super) async fn nobody_in_seven_days_ends_it_and_a_replay_lets_it_wait_again(postgres: Option<Database>) {
    let net = Net::start(postgres).await;
    net.sends("clickid=c1&tracker.event=sale&tracker.cost=10").await;
    net.sends("clickid=c1&tracker.event=sale&tracker.cost=20").await;
    net.until_counts(2, 0, 0, 0).await;
    net.clock.advance(SignedDuration::from_hours(7 * 24));
    net.until_counts(0, 0, 0, 2).await;
    let ended = net.in_state("ended").await;
    let lead = net.lead(&ended[0]["lead"]).await;
    assert_eq!(
        (lead["state"].as_str(), lead["why"]["code"].as_str()),
        (Some("filtered"), Some("no_such_click"))
    );

    // Whoever comes later finds it ended; a person lets it wait again, and it is counted under the same lead.
    net.starts("1", "c1", "").await;
    net.rig.settle().await;
    assert_eq!(net.counts().await, [0, 0, 0, 2]);
    let replay = json!({ "select": { "leads": [ended[0]["lead"]] }, "how": "replan" });
    let (status, replayed) = net.asks("/api/replay", replay.clone()).await;
    assert_eq!((status, replayed["count"].as_u64()), (200, Some(1)), "{replayed}");
    net.until_counts(0, 1, 0, 1).await;
    let counted = net.in_state("counted").await;
    assert_eq!((&counted[0]["lead"], counted[0]["ordinal"].as_u64()), (&ended[0]["lead"], Some(1)));
    // Mapped again, it keeps its number and its person.
    let (status, replayed) = net.asks("/api/replay", replay).await;
    assert_eq!((status, replayed["count"].as_u64()), (200, Some(1)), "{replayed}");
    let lead = net.lead(&ended[0]["lead"]).await;
    assert_eq!(
        (lead["lead"]["postback"]["ordinal"].as_u64(), &lead["person"]),
        (Some(1), &counted[0]["person"])
    );
    assert_eq!(net.counts().await, [0, 1, 0, 1]);
    net.rig.settle().await;
    net.end().await;
}

pub(super) async fn counting_follows_merges_and_what_undoes_them(postgres: Option<Database>) {
    let net = Net::start(postgres).await;
    let sends = async |click: &str, costs: std::ops::Range<u32>| {
        for cost in costs {
            net.sends(&format!("clickid={click}&tracker.event=resale&tracker.cost={cost}")).await;
        }
    };
    net.starts("1", "a", "").await;
    net.starts("2", "b", "").await;
    sends("a", 0..3).await;
    sends("b", 0..2).await;
    net.until_counts(0, 5, 0, 0).await;
    let (status, merged) = net.asks("/api/people/merge", json!({ "one": "1", "other": "2" })).await;
    assert_eq!(status, 200, "{merged}");
    sends("b", 10..11).await;
    net.until_counts(0, 6, 0, 0).await;
    assert_eq!(net.ordinals("b").await, ["resale#1", "resale#2", "resale#6"], "from the sum");
    let (status, split) = net.asks("/api/people/split", json!({ "what": merged["merge"] })).await;
    assert_eq!(status, 200, "{split} {merged}");
    sends("a", 20..21).await;
    sends("b", 20..21).await;
    net.until_counts(0, 8, 0, 0).await;
    // Each goes on behind what is theirs, and b behind the 6 that it was given.
    assert_eq!(net.ordinals("a").await, ["resale#1", "resale#2", "resale#3", "resale#4"]);
    assert_eq!(net.ordinals("b").await, ["resale#1", "resale#2", "resale#6", "resale#7"]);
    assert_eq!(
        (net.fields("1").await["resale"].as_str(), net.fields("2").await["resale"].as_str()),
        ("4", "7")
    );
    net.end().await;
}

pub(super) async fn an_erased_person_leaves_no_postback(postgres: Option<Database>) {
    let net = Net::start(postgres).await;
    net.starts("1", "Click-of-Uliana", "").await;
    net.starts("2", "another", "").await;
    let deposit = "clickid=Click-of-Uliana&tracker.event=resale&tracker.cost=10&fields.user_id=secret-17";
    net.sends(deposit).await;
    net.sends(deposit).await;
    net.sends("clickid=Click-of-Uliana&tracker.event=withdrawal&fields.user_id=secret-17").await;
    net.sends("clickid=another&tracker.event=resale").await;
    net.until_counts(0, 3, 1, 0).await;
    let mut erased = Value::Null;
    until("it is erased", async || {
        let (status, answer) = net.asks("/api/erase", json!({ "human": { "who": "1" } })).await;
        assert_eq!(status, 200, "{answer}");
        erased = answer;
        erased["done"] == true
    })
    .await;
    net.until_counts(0, 1, 0, 0).await;
    let database = net.rig.database();
    for (of, rows) in [
        ("deliveries WHERE query LIKE '%secret-17%'", 0),
        ("deliveries WHERE query LIKE '%Uliana%'", 0),
        ("postbacks WHERE click LIKE '%Uliana%'", 0),
        ("postback_counts", 1),
        ("clicks", 1),
        ("leads WHERE lead LIKE '%Uliana%'", 0),
    ] {
        assert_eq!(run(&database, &format!("SELECT COUNT(*) FROM {of}")).await, [rows], "{of}");
    }
    // What comes now is of nobody: it waits, and brings nobody back.
    net.sends("clickid=Click-of-Uliana&tracker.event=resale&tracker.cost=11").await;
    net.until_counts(1, 1, 0, 0).await;
    // Whoever comes with it is somebody new, and begins at one.
    net.starts("3", "Click-of-Uliana", "").await;
    net.until_counts(0, 2, 0, 0).await;
    assert_eq!(net.ordinals("Click-of-Uliana").await, ["resale#1"]);
    net.end().await;
}
