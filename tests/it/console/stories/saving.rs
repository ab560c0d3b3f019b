//! Two save at the same time; and a workspace that is changed elsewhere gives a patch.

use std::path::Path;
use std::process::Command;

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::json;

use crate::console::webdriver::Tab;
use crate::console::{PASSWORD, TOKEN, add_user, rig};
use crate::rig::{IMPATIENT, MAPPING, Rig, until};

const TEXT: &str = "Text of sendpulse.yaml";

/// Puts something else in place of a part of the text, as a paste does.
async fn paste(tab: &Tab, from: &str, to: &str) {
    let script = "const text = document.querySelector('#text'); const [from, to] = arguments; \
                  const at = text.value.indexOf(from); text.focus(); text.setSelectionRange(at, at + from.length); \
                  document.execCommand('insertText', false, to); return at";
    let at = tab.run(script, json!([from, to])).await;
    assert!(at.as_i64().unwrap() >= 0, "the text has no {from}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_save_the_second_loses_nothing() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Admin).await;
    if let Some((first, second)) = Tab::open_two(&rig).await {
        first.sign_in().await;
        second.go("/mappings/sendpulse.yaml/edit").await;
        second.fill("Name", "olena").await;
        second.fill("Password", PASSWORD).await;
        second.press_enter("Password").await;
        second.sees("Text of").await;
        first.go("/mappings/sendpulse.yaml/edit").await;
        first.sees("Text of").await;
        paste(&first, "Lead from", "Заявка з").await;
        paste(&second, "stage: New", "stage: Hot").await;
        first.click("Save").await;
        first.sees("Saved.").await;
        second.click("Save").await;
        second.sees("somebody else saved meanwhile").await;
        let typed = second.value(TEXT).await;
        assert!(typed.contains("stage: Hot") && typed.contains("Lead from"), "{typed}");
        second.keep_picture("story-mapping-second").await;
        // As it says: the file is opened again, and the edit repeated; both are kept then.
        second.go("/mappings/versions").await;
        second.sees("Versions").await;
        second.go("/mappings/sendpulse.yaml/edit").await;
        second.sees("Text of").await;
        until("the other's edit is there", async || second.value(TEXT).await.contains("Заявка з")).await;
        paste(&second, "stage: New", "stage: Hot").await;
        second.click("Save").await;
        second.sees("Saved.").await;
        let text = second.text().await.unwrap();
        assert!(text.contains("Заявка з") && text.contains("stage: Hot"), "{text}");
    }
    rig.end().await;
}

fn git_apply(folder: &Path, patch: &Path) {
    let applied =
        Command::new("git").args(["apply", "--verbose"]).arg(patch).current_dir(folder).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_goes_where_the_console_may_not_write() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    rig.read_only_workspace = true;
    rig.boot().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        let downloads = rig.folder.join("downloads");
        std::fs::create_dir_all(&downloads).unwrap();
        let how = json!({ "behavior": "allow", "downloadPath": downloads });
        tab.devtools("Browser.setDownloadBehavior", how).await;
        tab.go("/mappings/sendpulse.yaml/edit").await;
        tab.sees("--read-only-workspace").await;
        assert!(!tab.text().await.unwrap().contains("Save"), "what cannot be done is not offered");
        paste(&tab, "stage: New", "stage: Гаряча").await;
        tab.click("Take as a patch").await;
        let patch = downloads.join("sendpulse.patch");
        until("the patch is there", async || std::fs::metadata(&patch).is_ok_and(|file| file.len() > 0))
            .await;
        assert!(tab.value(TEXT).await.contains("Гаряча"), "the text stays");
        // In the folder of the workspace, as its first line says.
        git_apply(&rig.workspace(), &patch);
        let changed = std::fs::read_to_string(rig.workspace().join("sendpulse.yaml")).unwrap();
        assert_eq!(changed, MAPPING.replace("stage: New", "stage: Гаряча"));
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}
