//! The console in a real browser: headless Chromium over WebDriver, driven by what a person sees: words on buttons, labels of
//! fields. `tests/browser.sh` starts the driver; without it these tests say that they are skipped.
//!
//! WebDriver is JSON over HTTP, and we have a client of that: a crate for it would bring twenty others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::TOKEN;
use crate::rig::{PATIENCE, Rig, until_within};

/// Longest that a page may take to say something: machines that test do more than that at once.
const SIGHT: Duration = Duration::from_secs(90);

/// Browsers at a time: each takes some hundred megabytes and whatever processor there is.
static PLACES: Semaphore = Semaphore::const_new(2);

/// A browser with a profile of its own; its end ends it.
pub(crate) struct Tab {
    _place: SemaphorePermit<'static>,
    client: reqwest::Client,
    /// `host:port` of the driver.
    driver: String,
    /// `/session/<id>`
    session: String,
    /// Where leadfold is.
    root: String,
}

impl Tab {
    /// Opens one on a leadfold; says that the test is skipped where there is no browser.
    pub(crate) async fn open(rig: &Rig) -> Option<Self> {
        let driver = driver()?;
        Some(Self::begin(rig, &driver, PLACES.acquire().await.unwrap()).await)
    }

    /// Opens two, for two people. Not one after the other: each of two tests would wait for the other's second.
    pub(crate) async fn open_two(rig: &Rig) -> Option<(Self, Self)> {
        let driver = driver()?;
        let mut places = PLACES.acquire_many(2).await.unwrap();
        let place = places.split(1).unwrap();
        Some((Self::begin(rig, &driver, place).await, Self::begin(rig, &driver, places).await))
    }

    async fn begin(rig: &Rig, driver: &str, place: SemaphorePermit<'static>) -> Self {
        let driver = driver.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let mut tab = Self { _place: place, client, driver, session: String::new(), root: rig.url("") };
        // Only our own pages are looked at: the sandbox would need rights that containers and root do not have.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en"];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 120_000, "pageLoad": 120_000 },
        } } });
        let opened = tab.command(Method::POST, "/session", Some(wanted)).await.unwrap();
        tab.session = format!("/session/{}", opened["sessionId"].as_str().unwrap());
        tab.look(Look::ALL[0]).await;
        tab
    }

    /// Opens one in which somebody has signed in with the token that leadfold was started with.
    pub(crate) async fn signed_in(rig: &Rig) -> Option<Self> {
        let tab = Self::open(rig).await?;
        tab.sign_in().await;
        Some(tab)
    }

    /// Signs in with the token that leadfold was started with.
    pub(crate) async fn sign_in(&self) {
        self.go("/").await;
        self.click("With a token").await;
        self.fill("Token", TOKEN).await;
        self.press_enter("Token").await;
        self.sees("Sign out").await;
    }

    pub(crate) async fn go(&self, path: &str) {
        let url = format!("{}{path}", self.root);
        self.do_it(Method::POST, "/url", Some(json!({ "url": url }))).await;
    }

    /// Path and query of where the browser is.
    pub(crate) async fn path(&self) -> String {
        let url = self.do_it(Method::GET, "/url", None).await;
        url.as_str().unwrap().trim_start_matches(&self.root).to_owned()
    }

    pub(crate) async fn reload(&self) {
        self.do_it(Method::POST, "/refresh", Some(json!({}))).await;
    }

    pub(crate) async fn back(&self) {
        self.do_it(Method::POST, "/back", Some(json!({}))).await;
    }

    /// Clicks the link or button that says this; it must be seen and nothing may be over it.
    pub(crate) async fn click(&self, words: &str) {
        let what = format!(
            "//*[self::a or self::button or self::summary or self::label][normalize-space()=\"{words}\"]"
        );
        let element = self.find(&what).await;
        self.do_it(Method::POST, &format!("/element/{element}/click"), Some(json!({}))).await;
    }

    /// The same in the row, sheet or form that says this.
    pub(crate) async fn click_in(&self, place: &str, words: &str) {
        self.click_on(&format!(
            "//*[self::tr or self::article or self::section or self::form][contains(normalize-space(), \"{place}\")]\
             //*[self::a or self::button or self::summary or self::label][normalize-space()=\"{words}\"]"
        ))
        .await;
    }

    /// Clicks the first that is seen of what an `XPath` finds.
    pub(crate) async fn click_on(&self, xpath: &str) {
        let element = self.find(xpath).await;
        self.do_it(Method::POST, &format!("/element/{element}/click"), Some(json!({}))).await;
    }

    /// Chooses what says this from the list of this label.
    pub(crate) async fn choose(&self, label: &str, words: &str) {
        let list = self.field(label).await;
        let what = json!({ "using": "xpath", "value": format!(".//option[normalize-space()=\"{words}\"]") });
        let option = self.do_it(Method::POST, &format!("/element/{list}/element"), Some(what)).await;
        let option = option.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.do_it(Method::POST, &format!("/element/{option}/click"), Some(json!({}))).await;
    }

    /// Types into the field of this label, where its caret is.
    pub(crate) async fn type_into(&self, label: &str, text: &str) {
        let element = self.field(label).await;
        self.do_it(Method::POST, &format!("/element/{element}/value"), Some(json!({ "text": text }))).await;
    }

    /// What is in the field of this label.
    pub(crate) async fn value(&self, label: &str) -> String {
        let element = self.field(label).await;
        let value = self.do_it(Method::GET, &format!("/element/{element}/property/value"), None).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Types into the field of this label, over what is in it.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let element = self.field(label).await;
        self.do_it(Method::POST, &format!("/element/{element}/clear"), Some(json!({}))).await;
        self.do_it(Method::POST, &format!("/element/{element}/value"), Some(json!({ "text": text }))).await;
    }

    /// Sends the form of the field of this label.
    pub(crate) async fn press_enter(&self, label: &str) {
        let element = self.field(label).await;
        let enter = json!({ "text": "\u{e007}" });
        self.do_it(Method::POST, &format!("/element/{element}/value"), Some(enter)).await;
    }

    /// Presses a key where the focus is.
    pub(crate) async fn press(&self, key: &str) {
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.do_it(Method::POST, "/actions", Some(actions)).await;
    }

    /// Waits until the page says this, as far as a person sees it.
    pub(crate) async fn sees(&self, words: &str) {
        let start = tokio::time::Instant::now();
        loop {
            // It fails while the browser is on its way to another page.
            let text = self.text().await;
            if text.as_ref().is_ok_and(|text| text.contains(words)) {
                return;
            }
            assert!(
                start.elapsed() < SIGHT,
                "the page does not say '{words}' within {SIGHT:?}, but {text:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The page, which has been seen to be there, does not say this.
    pub(crate) async fn lacks(&self, words: &str) {
        let text = self.text().await.unwrap();
        assert!(!text.contains(words), "the page says '{words}': {text}");
    }

    /// Loads the page again until it says this.
    pub(crate) async fn sees_in_time(&self, words: &str) {
        until_within(PATIENCE, &format!("the page says '{words}'"), async || {
            self.reload().await;
            self.text().await.is_ok_and(|text| text.contains(words))
        })
        .await;
    }

    /// Waits until the page does not say this any more.
    pub(crate) async fn sees_no(&self, words: &str) {
        until_within(SIGHT, &format!("the page says nothing of '{words}'"), async || {
            self.text().await.is_ok_and(|text| !text.contains(words))
        })
        .await;
    }

    /// The page as it was sent, and whatever scripts made of it.
    pub(crate) async fn source(&self) -> String {
        self.do_it(Method::GET, "/source", None).await.as_str().unwrap().to_owned()
    }

    /// What the page says now.
    pub(crate) async fn text(&self) -> Result<String, String> {
        let text = self.try_run("return document.body.innerText", json!([])).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a script as the developer tools do, which no content security policy stops.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.try_run(script, arguments).await.unwrap()
    }

    /// The same, or the driver's error: there is one while the browser is on its way to another page.
    pub(crate) async fn try_run(&self, script: &str, arguments: Value) -> Result<Value, String> {
        let body = json!({ "script": script, "args": arguments });
        self.command(Method::POST, "/execute/sync", Some(body)).await
    }

    /// The same for a script that calls its last argument when it is done.
    pub(crate) async fn run_until_called(&self, script: &str, arguments: Value) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.do_it(Method::POST, "/execute/async", Some(body)).await
    }

    /// What the browser complained of since this was asked last: errors of scripts, what the policy stopped, what did not load.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.do_it(Method::POST, "/se/log", Some(json!({ "type": "browser" }))).await;
        let bad = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        bad.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Shows pages so from now on.
    pub(crate) async fn look(&self, look: Look) {
        let scheme = if look.dark { "dark" } else { "light" };
        let size =
            json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// A command of the Chrome `DevTools` protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.do_it(Method::POST, "/goog/cdp/execute", Some(body)).await
    }

    /// Keeps a picture of the whole page in `target/screenshots`.
    pub(crate) async fn keep_picture(&self, name: &str) {
        use base64::Engine as _;
        let how = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", how).await;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    async fn field(&self, label: &str) -> String {
        let field = "self::input or self::select or self::textarea";
        self.find(&format!(
            "//label[starts-with(normalize-space(), \"{label}\")]//*[{field}] | \
             //*[{field}][@id=//label[starts-with(normalize-space(), \"{label}\")]/@for] | \
             //*[{field}][@aria-label=\"{label}\"]"
        ))
        .await
    }

    /// The first that is there and seen.
    async fn find(&self, xpath: &str) -> String {
        let mut found = None;
        let what = json!({ "using": "xpath", "value": xpath });
        until_within(SIGHT, &format!("{xpath} is seen"), async || {
            let elements = self.command(Method::POST, "/elements", Some(what.clone())).await;
            for element in elements.iter().flat_map(|elements| elements.as_array().unwrap()) {
                let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap();
                let seen = self.command(Method::GET, &format!("/element/{id}/displayed"), None).await;
                if seen == Ok(Value::Bool(true)) {
                    found = Some(id.to_owned());
                    break;
                }
            }
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    async fn do_it(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.command(method, path, body).await.unwrap()
    }

    /// What the driver answers, or its error.
    #[expect(clippy::disallowed_methods, reason = "the test drives a browser")]
    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let url = format!("http://{}{}{path}", self.driver, self.session);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| format!("{path}: {error}"))?;
        let good = answer.status().is_success();
        let text = answer.text().await.map_err(|error| format!("{path}: {error}"))?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
        let value = answer["value"].take();
        if good { Ok(value) } else { Err(format!("{path}: {}: {}", value["error"], value["message"])) }
    }
}

/// Where the driver listens.
#[expect(clippy::disallowed_methods, reason = "the usual way to tell a test of its browser")]
fn driver() -> Option<String> {
    let Ok(driver) = std::env::var("WEBDRIVER_URL") else {
        eprintln!("skipped: WEBDRIVER_URL names no browser to run this in; `bash tests/all.sh` starts one");
        return None;
    };
    Some(driver)
}

impl Drop for Tab {
    /// Also when the test failed, hence without the client, which needs a runtime that may be gone.
    fn drop(&mut self) {
        let Ok(mut driver) = TcpStream::connect(&self.driver) else { return };
        let asked =
            format!("DELETE {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.session, self.driver);
        let ended = driver
            .set_read_timeout(Some(Duration::from_secs(30)))
            .and_then(|()| driver.write_all(asked.as_bytes()))
            .and_then(|()| driver.read(&mut [0; 64]));
        if let Err(error) = ended {
            eprintln!("a browser was not ended: {error}");
        }
    }
}

/// How pages are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

impl Look {
    pub(crate) const ALL: [Self; 3] = [
        Self { name: "light", width: 1280, dark: false },
        Self { name: "dark", width: 1280, dark: true },
        Self { name: "phone", width: 390, dark: false },
    ];
}
