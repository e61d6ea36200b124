//! Which file is read, what relative paths start at, and the settings that follow others.

use super::*;

#[test]
fn relative_paths_start_at_the_files_folder() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("conf");
    std::fs::create_dir(&folder).unwrap();
    let file = "[queue]\nurl = \"local:q/tasks.db\"\n[teams]\nsource = \"file:t.toml\"\n[sources.file]\nroots = [\"in\", \"/abs\"]\n";
    std::fs::write(folder.join("my.toml"), file).unwrap();
    let source = ConfigSource { file: Some("conf/my.toml".into()), working_folder: root.path().to_owned() };
    let loaded = Config::load(&source, std::iter::empty()).unwrap();
    assert_eq!(loaded.base_dir, folder);
    assert_eq!(loaded.file.as_deref(), Some(Path::new("conf/my.toml")));
    let config = loaded.config;
    assert_eq!(config.state_dir, folder.join("longshore-data"));
    assert_eq!(config.store.url, StoreUrl::File { path: folder.join("longshore-data/store") });
    assert_eq!(config.teams.source, TeamsSource::File { path: folder.join("t.toml") });
    assert_eq!(config.queue_database(), folder.join("q/tasks.db"));
    assert_eq!(config.sources.file.roots, [folder.join("in"), "/abs".into()]);
}

#[test]
fn without_a_file_paths_start_at_the_working_folder() {
    let folder = tempfile::tempdir().unwrap();
    let source = ConfigSource { file: None, working_folder: folder.path().to_owned() };
    let loaded = Config::load(&source, std::iter::empty()).unwrap();
    assert_eq!((loaded.file, loaded.base_dir.as_path()), (None, folder.path()));
    assert_eq!(loaded.config.queue_database(), folder.path().join("longshore-data/queue.db"));
    assert_eq!(loaded.config.events_database(), None);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "loading writes nothing");
}

#[test]
fn the_store_follows_the_state_folder_until_it_is_set() {
    let store = |file: &str| match loaded(file).store.url {
        StoreUrl::File { path } => path,
        StoreUrl::S3 { .. } => panic!("not a folder"),
    };
    assert_eq!(store("state_dir = \"/s\""), Path::new("/s/store"));
    assert_eq!(store("state_dir = \"/s\"\n[store]\nurl = \"file:/t\""), Path::new("/t"));
    assert!(
        store("state_dir = \"/s\"\n[store]\nurl = \"file:longshore-data/store\"").ends_with("longshore-data/store")
    );
    assert_eq!(loaded("state_dir = \"/s\"").queue_database(), Path::new("/s/queue.db"));
    assert_eq!(
        loaded("state_dir = \"/s\"\nevents.url = \"local:\"").events_database().unwrap(),
        Path::new("/s/queue.db")
    );
}

#[test]
fn the_total_time_of_a_fetch_follows_hold_until_it_is_set() {
    let total = |file: &str| loaded(file).sources.http.total_timeout.to_string();
    assert_eq!(total(""), "24m");
    assert_eq!(total("queue.hold = \"50s\""), "48s");
    assert_eq!(total("queue.hold = \"50s\"\nsources.http.total_timeout = \"7s\""), "7s");
}

#[test]
fn the_file_is_found_by_argument_then_environment_then_name() {
    let folder = tempfile::tempdir().unwrap();
    let attempts = |file: Option<&str>, variable: Option<&str>| {
        let source = ConfigSource { file: file.map(PathBuf::from), working_folder: folder.path().to_owned() };
        let environment = variable.map(|path| ("LONGSHORE_CONFIG".to_owned(), path.to_owned()));
        Config::load(&source, environment.into_iter())
            .map(|loaded| loaded.config.queue.max_attempts)
            .map_err(|errors| errors.to_string())
    };
    assert_eq!(attempts(None, None), Ok(5));
    for (name, value) in [("longshore.toml", 1), ("two.toml", 2), ("three.toml", 3)] {
        std::fs::write(folder.path().join(name), format!("[queue]\nmax_attempts = {value}\n")).unwrap();
    }
    assert_eq!(attempts(None, None), Ok(1));
    assert_eq!(attempts(None, Some("")), Ok(1));
    assert_eq!(attempts(None, Some("two.toml")), Ok(2));
    assert_eq!(attempts(Some("three.toml"), Some("two.toml")), Ok(3));
    assert!(attempts(Some("four.toml"), None).unwrap_err().starts_with("four.toml: cannot be read: "));
    assert!(attempts(None, Some("four.toml")).unwrap_err().starts_with("four.toml: cannot be read: "));
}
