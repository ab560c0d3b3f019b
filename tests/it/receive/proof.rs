//! What a platform proves itself with, beside the token in the path.

use super::{Server, TOKEN, body, has_header, post, status};

const SECRET: &str = "X-Telegram-Bot-Api-Secret-Token: abcDEF_123-xyz\r\n";

#[tokio::test]
async fn telegrams_secret_counts_besides_the_token() {
    let server = Server::start().await;
    let telegram = format!("/in/telegram/{TOKEN}");
    for (headers, expected) in [
        (SECRET, 200),
        (&SECRET.to_lowercase().replace("abcdef", "abcDEF"), 200),
        ("", 401),
        ("X-Telegram-Bot-Api-Secret-Token:\r\n", 401),
        ("X-Telegram-Bot-Api-Secret-Token: abcDEF_123-xy\r\n", 401),
        ("X-Telegram-Bot-Api-Secret-Token: abcdef_123-xyz\r\n", 401),
        (&SECRET.repeat(2), 401),
        (&format!("{SECRET}X-Telegram-Bot-Api-Secret-Token: wrong\r\n"), 401),
        ("X-Telegram-Bot-Api-Secret-Token: abcDEF_123-xyz, abcDEF_123-xyz\r\n", 401),
        ("Authorization: abcDEF_123-xyz\r\n", 401),
    ] {
        let before = server.kept().len();
        let answer = server.send(post(&telegram, headers, "{}")).await;
        assert_eq!(status(&answer), expected, "{headers}: {answer}");
        assert_eq!(server.kept().len() - before, usize::from(expected == 200), "{headers}");
    }
    let answer = server.send(post(&telegram, "", "{}")).await;
    assert!(
        body(&answer).contains("nothing was stored")
            && body(&answer).contains("x-telegram-bot-api-secret-token")
    );
    assert!(!answer.contains("abcDEF"), "{answer}");
    // Who does not know the token learns nothing from the right secret.
    for path in ["/in/telegram/wrong", "/in/telegram"] {
        assert_eq!(status(&server.send(post(path, SECRET, "{}")).await), 404, "{path}");
    }
    // Without `secret:` the token is enough, whatever the platform sends.
    for headers in ["", SECRET] {
        assert_eq!(status(&server.send(post(&format!("/in/trusting/{TOKEN}"), headers, "{}")).await), 200);
    }
}

#[tokio::test]
async fn a_proof_is_never_stored() {
    let server = Server::start().await;
    server.send(post(&format!("/in/telegram/{TOKEN}"), SECRET, "{}")).await;
    let basic = "Authorization: Basic eWVzcG86czNjcmV0\r\n";
    server.send(post(&format!("/in/esputnik/{TOKEN}"), basic, "[]")).await;
    let kept = server.kept();
    assert_eq!(kept.len(), 2);
    for arrival in kept {
        assert_eq!(arrival.delivery.headers, [], "{:?}", arrival.delivery.source);
    }
}

#[tokio::test]
async fn esputnik_asks_whether_the_address_is_there_and_may_sign_in() {
    let server = Server::start().await;
    let path = format!("/in/esputnik/{TOKEN}");
    // Its check of the address comes by GET, before anybody has signed in.
    let get = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&server.send(get).await), 200);
    for (headers, expected) in [
        ("Authorization: Basic eWVzcG86czNjcmV0\r\n", 200),
        ("", 401),
        ("Authorization: Basic eWVzcG86d3Jvbmc=\r\n", 401),
        ("Authorization: Bearer eWVzcG86czNjcmV0\r\n", 401),
        (&"Authorization: Basic eWVzcG86czNjcmV0\r\n".repeat(2), 401),
    ] {
        let answer = server.send(post(&path, headers, "[]")).await;
        assert_eq!(status(&answer), expected, "{headers}: {answer}");
        assert_eq!(
            has_header(&answer, "www-authenticate: Basic realm=\"leadfold\""),
            expected == 401,
            "{answer}"
        );
    }
    assert_eq!(server.kept().len(), 1);
}
