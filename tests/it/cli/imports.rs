//! Imports in this process.

use serde_json::Value;

use super::{Fails, Ground, stored_text, task};

fn rows(report: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(report.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn a_csv_is_copied_told_of_row_by_row_resumed_and_its_failures_tried_again() {
    let ground = Ground::new("");
    ground.write("set/one.txt", "one");
    ground.write("set/m.csv", "id,url,kind\nr1,one.txt,x\nr2,two.txt,\"y, z\"\nr3,,q\n");
    let import = ["import", "set/m.csv", "--team", "acme", "--report", "report.csv", "--json"];
    let ran = ground.run(&import).fails(1, "2 of 3 rows failed");
    let summary = &ran.json()[0];
    assert_eq!((&summary["rows"], &summary["stored"]), (&Value::from(3), &Value::from(1)));
    assert_eq!(summary["failed_by_code"], serde_json::json!({"bad_url": 1, "not_found": 1}));
    let report = rows(&ground.read("report.csv"));
    assert_eq!(report[0], ["id", "url", "kind", "url_source", "status", "code"]);
    assert_eq!(stored_text(&report[1][1]), "one");
    assert_eq!(report[1][3..], ["one.txt", "stored", ""]);
    assert_eq!(report[2], ["r2", "two.txt", "y, z", "two.txt", "failed", "not_found"]);
    assert_eq!(report[3], ["r3", "", "q", "", "failed", "bad_url"]);
    // The same command goes on with the same import: the missing file is not asked for again.
    ground.write("set/two.txt", "two");
    ground.run(&import).fails(1, "2 of 3 rows failed");
    ground.run(&[&import[..], &["--retry-failed"]].concat()).fails(1, "1 of 3 rows failed");
    let again = rows(&ground.read("report.csv"));
    assert_eq!(again[1], report[1]);
    assert_eq!((stored_text(&again[2][1]), again[2][4].as_str()), ("two".to_owned(), "stored"));
    // And what was tried again with success is not forgotten.
    ground.run(&import).fails(1, "1 of 3 rows failed");
}

#[test]
fn a_list_of_more_rows_than_a_part_is_cut_and_told_in_order() {
    let ground = Ground::new("");
    let names: Vec<String> = (0..250).map(|number| format!("{number}.txt")).collect();
    names.iter().for_each(|name| ground.write(&format!("set/{name}"), name));
    ground.write("set/m.txt", &names.join("\n"));
    let ran = ground.run(&["import", "set/m.txt", "--team", "acme", "--id", "big", "--report", "r.jsonl"]).ends(0);
    assert!(ran.out.starts_with("IMPORT") && ran.out.contains("250"), "{ran:?}");
    let report = ground.read("r.jsonl");
    let lines: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 250);
    for (line, name) in lines.iter().zip(&names) {
        assert_eq!(
            (&line["url_source"], &line["status"], &line["code"]),
            (&Value::from(name.as_str()), &"stored".into(), &Value::Null)
        );
        assert_eq!(stored_text(line["url"].as_str().unwrap()), *name);
    }
    for part in ["big.part-00001", "big.part-00003"] {
        ground.run(&["receipt", "acme", part]).ends(0);
    }
    assert!(ground.run(&["events"]).ends(0).out.is_empty(), "an import's parts are announced to nobody");
    // The same id for another manifest is a mistake, not a merge.
    ground.write("set/other.txt", "1.txt\n");
    ground.run(&["import", "set/other.txt", "--team", "acme", "--id", "big"]).fails(64, "another manifest");
}

#[test]
fn task_bodies_are_imported_as_they_are_and_come_back_with_their_copies() {
    let ground = Ground::new("");
    ground.write("set/a.txt", "a");
    let (good, missing) = (ground.url("set/a.txt"), ground.url("set/b.txt"));
    let foreign = task("t-3", &good).replace("acme", "other");
    ground.write("set/m.jsonl", &format!("{}{}{foreign}nothing\n", task("t-1", &good), task("t-2", &missing)));
    let import = ["import", "set/m.jsonl", "--team", "acme", "--report", "r.jsonl"];
    ground.run(&import).fails(1, "3 of 4 rows failed");
    let lines =
        || -> Vec<Value> { ground.read("r.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let report = lines();
    assert_eq!(stored_text(report[0]["attachments"][0].as_str().unwrap()), "a");
    assert_eq!(report[0]["attachments_source"][0], good.as_str());
    assert_eq!((&report[1]["attachments"][0], &report[1]["code"]), (&missing.as_str().into(), &"not_found".into()));
    assert_eq!((&report[2]["task_id"], &report[2]["code"]), (&"t-3".into(), &"undecodable".into()));
    ground.write("set/b.txt", "b");
    ground.run(&[&import[..], &["--retry-failed"]].concat()).fails(1, "2 of 4 rows failed");
    assert_eq!(lines()[1]["status"], "completed");
    let receipt = ground.run(&["receipt", "acme", "t-2", "--json"]).ends(0).json().remove(0);
    assert_eq!(receipt["round"], 2);
}

#[test]
fn packed_manifests_are_read_through() {
    let ground = Ground::new("");
    ground.write("set/a.txt", "a");
    ground.write("set/m.txt", "a.txt\n");
    let packed = std::process::Command::new("gzip").args(["-k", "m.txt"]).current_dir(ground.path("set")).status();
    assert!(packed.unwrap().success());
    ground.run(&["import", "set/m.txt.gz", "--team", "acme"]).ends(0);
}

#[test]
fn what_stands_in_an_imports_way_is_told_in_a_sentence() {
    let ground = Ground::new("");
    ground.write("m.csv", "link\nhttps://h/a\n");
    ground.write("m.txt", "../outside.txt\n");
    ground.run(&["import", "gone.csv", "--team", "acme"]).fails(64, "gone.csv");
    ground.run(&["import", "m.csv", "--team", "acme", "--format", "csv"]).fails(64, "no column named url");
    ground.run(&["import", "m.txt"]).fails(64, "--team");
    ground.run(&["import", "m.txt", "--team", "nobody"]).fails(64, "[nobody]");
    ground.run(&["import", "m.txt", "--team", "Bad Team"]).fails(64, "--team");
    ground.run(&["import", "m.txt", "--team", "acme", "--id", "a/b"]).fails(64, "--id");
    ground.run(&["import", "m.txt", "--team", "acme", "--report", "no/such/folder"]).fails(64, "--report");
    let outside = ground.run(&["import", "m.txt", "--team", "acme", "--json"]).ends(1).json().remove(0);
    assert_eq!(outside["failed_by_code"]["unsupported_scheme"], 1, "{outside}");
    ground.run(&["import", "http://127.0.0.1:1/m.csv", "--team", "acme"]).fails(69, "127.0.0.1");
    std::fs::remove_file(ground.path("teams.toml")).unwrap();
    ground.run(&["import", "m.txt", "--team", "acme"]).fails(64, "make it with one line, [acme]");
}
