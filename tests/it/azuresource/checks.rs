//! `team check` on Azure: what is found of a consent that is right, and of each way in which it is wrong.

use serde_json::Value;

use super::customer::Customer;
use super::program::Program;

/// Runs `team check acme`, and returns each finding's name, success and message.
async fn checked(program: &Program, is_good: bool, more: &[&str]) -> Vec<(String, bool, String)> {
    let args = [&["--json", "team", "check", "acme"], more].concat();
    let (exit, out) = program.ends(&args).await;
    let finding = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["integration"], "azure", "{line}");
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("name"), line["success"].as_bool().unwrap(), text("message"))
    };
    let findings: Vec<_> = out.lines().map(finding).collect();
    assert_eq!(exit, i32::from(!is_good), "{findings:#?}");
    findings
}

async fn check(program: &Program, more: &[&str], failed: &[(&str, &str)]) {
    let findings = checked(program, failed.is_empty(), more).await;
    for (name, success, message) in &findings {
        let expected = failed.iter().find(|(failed, _)| failed == name);
        assert_eq!(*success, expected.is_none(), "{findings:#?}");
        assert!(expected.is_none_or(|(_, says)| message.contains(says)), "{findings:#?}");
    }
    for (name, _) in failed {
        assert!(findings.iter().any(|(found, _, _)| found == name), "{name}: {findings:#?}");
    }
}

#[tokio::test]
async fn each_way_in_which_a_consent_is_wrong_is_told() {
    let customer = Customer::new().await;
    let program = Program::new();
    let account = customer.account;
    program.teams(&[("acme", Some(&customer.tenant), &[account])]);
    let url = customer.url("a.txt");
    check(&program, &["--url", &url], &[]).await;
    // Which container may be read is not told by the record, and the account's list is shut to whoever reads one only.
    check(&program, &[], &[("container_readable", "check a blob with --url")]).await;
    customer.revokes().await;
    let failed = [("container_readable", ""), ("object_readable", "access_denied")];
    check(&program, &["--url", &url], &failed).await;
    customer.consents(false).await;
    let asked = customer.asked().await.len();
    let failed = [
        ("token_issued", "`longshore team onboard acme --cloud azure` prints the page"),
        ("container_readable", "not looked at"),
        ("object_readable", "integration_broken"),
    ];
    check(&program, &["--url", &url], &failed).await;
    assert_eq!(customer.asked().await.len(), asked, "somebody asked for the container");
}
