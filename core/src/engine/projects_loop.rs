//! Reads the projects file again, by its content, and puts what it says in force without a restart. What cannot be used changes
//! nothing: the last good state stays, with a warning.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Engine;
use crate::clock;
use crate::config::projects::{self, LastGood, Texts};
use crate::config::{Config, ConfigErrors, ProjectsFile};
use crate::model::error::Result;
use crate::model::time::Millis;

/// A change must be visible within a minute: this, and one export.
const EVERY: Duration = Duration::from_secs(30);

/// What was read last: texts, or why there are none.
type Read = std::result::Result<Texts, ConfigErrors>;

/// Reads the file until the engine is cancelled. `stored` makes the exporters send the present.
pub(super) async fn run(engine: Arc<Engine>, stored: Arc<watch::Sender<u64>>) -> Result<()> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut known, mut last) = (None, LastGood::default());
    while engine.cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let before = engine.config();
        let Some(ProjectsFile { path, .. }) = before.projects_file.clone() else { return Ok(()) };
        // The first read repeats that of the start, unless the file changed in between.
        let Ok(read) = tokio::task::spawn_blocking(move || projects::read(&path)).await else { continue };
        if known.as_ref() == Some(&read) {
            continue;
        }
        let next = next(&before, &read, &mut last, clock::now());
        known = Some(read);
        if next.projects != before.projects {
            tracing::info!(projects = next.projects.len(), "read the projects file");
            engine.replace_projects(next);
            stored.send_modify(|count| *count += 1);
        } else {
            engine.replace_projects(next);
        }
    }
    Ok(())
}

/// The configuration after a read. One that cannot be used is logged, and leaves the projects as they were.
fn next(before: &Config, read: &Read, last: &mut LastGood, now: Millis) -> Config {
    let over = |texts| projects::apply_over(before.clone(), texts, last);
    let errors = match read.as_ref().map_err(Clone::clone).and_then(over) {
        Ok(next) => {
            warn_of_entries(&next);
            return next;
        }
        Err(errors) => errors,
    };
    let problems = errors.lines().collect::<Vec<_>>().join("; ");
    tracing::error!("the projects file cannot be used, its last good state stays in force: {problems}");
    let mut next = before.clone();
    if let Some(file) = &mut next.projects_file {
        file.failing_since.get_or_insert(now);
    }
    next
}

fn warn_of_entries(config: &Config) {
    for line in config.projects_file.iter().flat_map(|file| &file.unusable) {
        tracing::warn!("an entry of the projects file cannot be used: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const WELL: &str = "projects: [{id: shop, owner: shop-team, criticality: high}]";

    fn at(path: &std::path::Path) -> Config {
        config::load(path, &[]).unwrap()
    }

    #[test]
    fn a_broken_file_leaves_the_last_good_state_and_says_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let (main, file) = (dir.path().join("contextcore.yaml"), dir.path().join("projects.yaml"));
        std::fs::write(&main, "projects_file: projects.yaml").unwrap();
        std::fs::write(&file, WELL).unwrap();
        let first = at(&main);
        assert_eq!(first.projects[0].owner.as_deref(), Some("shop-team"));
        let (read, mut last) = (|| projects::read(&file), LastGood::default());
        let mut next = |before: &Config, read: &Read, now| super::next(before, read, &mut last, now);
        for (broken, now) in [("[{owner: nobody}]", 5), ("projects: [", 9)] {
            std::fs::write(&file, broken).unwrap();
            let kept = next(&first, &read(), Millis(now));
            assert_eq!(kept.projects, first.projects, "{broken}");
            assert_eq!(kept.projects_file.as_ref().unwrap().failing_since, Some(Millis(now)));
            assert_eq!(next(&kept, &read(), Millis(77)).projects_file.unwrap().failing_since, Some(Millis(now)));
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(next(&first, &read(), Millis(1)).projects, first.projects, "a file that is gone");
        std::fs::write(&file, WELL.replace("high", "low")).unwrap();
        let empty = next(&first, &Ok(Texts::default()), Millis(1));
        let mended = next(&empty, &read(), Millis(2));
        assert_eq!(mended.projects[0].criticality.unwrap().as_str(), "low");
        assert_eq!(mended.projects_file.unwrap().failing_since, None);
    }

    #[test]
    fn an_entry_that_breaks_keeps_its_last_good_state_and_stops_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (main, file) = (dir.path().join("contextcore.yaml"), dir.path().join("projects.yaml"));
        std::fs::write(&main, "projects_file: projects.yaml").unwrap();
        let write = |text: &str| std::fs::write(&file, format!("projects: [{text}]")).unwrap();
        write("{id: shop, owner: shop-team}, {id: pay, owner: pay-team}");
        let (first, mut last) = (at(&main), LastGood::default());
        let mut next = |before: &Config| super::next(before, &projects::read(&file), &mut last, Millis(1));
        let owners = |config: &Config| {
            let owner = |project: &crate::config::ProjectConfig| project.owner.clone().unwrap_or_default();
            config.projects.iter().map(owner).collect::<Vec<_>>()
        };
        let good = next(&first);
        write("{id: shop, ownr: x}, {id: pay, owner: new-team}, {id: late, risks: [{risk: ' '}]}");
        let mixed = next(&good);
        assert_eq!(owners(&mixed), ["new-team", "shop-team"]);
        let unusable = mixed.projects_file.as_ref().unwrap().unusable.join("\n");
        assert!(unusable.contains("`ownr`") && unusable.contains("last good state"), "{unusable}");
        assert!(unusable.contains("projects[2].risks[0].risk") && unusable.contains("left out"), "{unusable}");
        assert_eq!(owners(&next(&mixed)), ["new-team", "shop-team"], "as long as it is broken");
        write("{id: pay, owner: new-team}");
        let gone = next(&mixed);
        assert_eq!(owners(&gone), ["new-team"]);
        assert!(gone.projects_file.unwrap().unusable.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_in_force_within_half_a_minute_and_the_exporters_hear_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (main, file) = (dir.path().join("contextcore.yaml"), dir.path().join("projects.yaml"));
        std::fs::write(&main, "projects_file: projects.yaml").unwrap();
        std::fs::write(&file, WELL).unwrap();
        let store = crate::store::Store::over(Arc::new(crate::store::MemoryKv::default())).unwrap();
        let engine = Arc::new(Engine::new(at(&main), store, Box::new(crate::progress::Quiet), &[]));
        let (sender, mut stored) = watch::channel(0);
        let change = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(!stored.has_changed().unwrap(), "nothing is new");
            std::fs::write(&file, WELL.replace("shop-team", "new-team")).unwrap();
            tokio::time::timeout(EVERY, stored.changed()).await.unwrap().unwrap();
            engine.cancel.cancel();
        };
        let (ended, ()) = tokio::join!(run(Arc::clone(&engine), Arc::new(sender)), change);
        ended.unwrap();
        assert_eq!(engine.config().projects[0].owner.as_deref(), Some("new-team"));
    }
}
