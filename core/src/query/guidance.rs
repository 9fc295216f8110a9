//! Guidance for agents, from everywhere it can come from.

use std::collections::BTreeSet;

use super::names;
use super::viewer::Viewer;
use crate::config::Config;
use crate::config::guidance::{PATH, parse};
use crate::model::error::Result;
use crate::model::guidance::forge::{ForgeGuidance, StoredFile};
use crate::model::guidance::stored::AllGuidance;
use crate::model::guidance::{GuidanceItem, GuidanceSource, of_forge, of_project};
use crate::repository::Repository;

/// The guidance there is, ended or not, each line as its source has it. [`crate::model::guidance::in_force`] says what holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuidanceFound {
    /// The lines.
    pub items: Vec<GuidanceItem>,
    /// What a person should know, such as a file that cannot be used.
    pub warnings: Vec<String>,
    /// Which repositories there are, and so which of the lines are about a path.
    pub repositories: Repositories,
}

/// The repositories of a project, or of all, and which of them paths are in. What a forge has in one repository says nothing about the
/// paths of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repositories {
    /// Those that the configuration or a forge knows.
    known: BTreeSet<String>,
    /// What the remotes of the clone on this machine name.
    of_clone: Vec<String>,
    /// The one that is meant, whatever the clone is.
    meant: Option<String>,
}

impl Repositories {
    /// The same, where one is meant.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] when others are known and this is none of them: a slip must not hide a rule.
    pub fn meaning(mut self, name: &str) -> Result<Self> {
        let name = name.trim();
        let all: BTreeSet<String> = self.known.iter().chain(&self.of_clone).cloned().collect();
        if !all.is_empty() && !all.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(names::unknown("repository", name, &all));
        }
        self.meant = Some(name.to_owned());
        Ok(self)
    }

    /// Whether a line is about the paths here. Where nobody knows the repository, as in a clone of a fork, every line is.
    #[must_use]
    pub fn holds(&self, item: &GuidanceItem) -> bool {
        let is_clone = |name: &str| self.of_clone.iter().any(|known| known.eq_ignore_ascii_case(name));
        match (&item.source, &self.meant) {
            (GuidanceSource::Forge { repository, .. }, Some(meant)) => repository.eq_ignore_ascii_case(meant),
            (GuidanceSource::Forge { repository, .. }, None) => {
                is_clone(repository) || !self.known.iter().any(|known| is_clone(known))
            }
            (GuidanceSource::File { .. }, Some(meant)) => self.of_clone.is_empty() || is_clone(meant),
            _ => true,
        }
    }
}

impl Viewer<'_> {
    /// The guidance that the command line and people with tokens reported.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn guidance(&self) -> Result<AllGuidance> {
        self.store.guidance()
    }

    /// The guidance files that the configured sources read from their forges, as far as their branches are trusted.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn guidance_files(&self) -> Result<Vec<ForgeGuidance>> {
        let mut found = Vec::new();
        for source in &self.config.sources {
            for (repository, file) in self.store.guidance_files(&source.name)? {
                if is_trusted(&self.config.guidance.trusted_refs, &file.branch) {
                    for project in self.projects_of_repository(&source.name, &repository) {
                        found.push(ForgeGuidance { project, repository: repository.clone(), file: file.clone() });
                    }
                }
            }
        }
        Ok(found)
    }

    /// Every project that lists a repository, since several may share one and none may take it from another; without any, the one
    /// that its issues belong to.
    fn projects_of_repository(&self, source: &str, repository: &str) -> Vec<String> {
        let lists = |known: &String| known.eq_ignore_ascii_case(repository);
        let listed = self.config.projects.iter().filter(|project| project.repositories.iter().any(lists));
        let ids: Vec<String> = listed.map(|project| project.id.clone()).collect();
        if ids.is_empty() { vec![self.project_id(source, repository)] } else { ids }
    }
}

/// Whether a default branch is among the trusted refs. Without any, it is the one that is trusted.
fn is_trusted(refs: &[String], branch: &str) -> bool {
    let means = |name: &String| {
        let short =
            ["refs/heads/", "refs/remotes/origin/", "origin/"].iter().find_map(|prefix| name.strip_prefix(prefix));
        short.unwrap_or(name) == branch
    };
    refs.is_empty() || refs.iter().any(means)
}

/// The guidance of a project, or of all: from the configuration's projects, from the forges, from a repository on this machine, and
/// from what was reported. What a repository here says is about the project that it names itself; about `project` only if it names none.
pub fn guidance(
    config: Option<&Config>,
    repository: Option<&Repository>,
    (stored, forges): (&AllGuidance, &[ForgeGuidance]),
    project: Option<&str>,
) -> GuidanceFound {
    let is_wanted = |id: &str| project.is_none_or(|project| id == project);
    let projects = config.iter().flat_map(|config| &config.projects).filter(|known| is_wanted(&known.id));
    let repositories = Repositories {
        known: known_repositories(config, forges, &is_wanted),
        of_clone: repository.map(Repository::names).unwrap_or_default(),
        meant: None,
    };
    let mut found =
        GuidanceFound { items: projects.flat_map(of_project).collect(), warnings: Vec::new(), repositories };
    for forge in forges.iter().filter(|forge| is_wanted(&forge.project)) {
        add_forge(&mut found, forge);
    }
    let own = repository.and_then(Repository::project);
    let is_of_project = |project: &str| own.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(project));
    if let Some(repository) = repository.filter(|_| project.is_none_or(is_of_project)) {
        let refs = config.map(|config| config.guidance.trusted_refs.as_slice()).unwrap_or_default();
        let named = project.map(str::to_owned).or(own).unwrap_or_default();
        let of_repository = repository.guidance(&named, refs);
        let is_here = |known: &GuidanceItem| is_of_forge(known) && found.repositories.holds(known);
        let is_known = |item: &GuidanceItem| found.items.iter().any(|known| is_here(known) && known.says_as(item));
        let new: Vec<_> = of_repository.items.into_iter().filter(|item| !is_known(item)).collect();
        found.items.extend(new);
        found.warnings.extend(of_repository.warnings);
    }
    found.items.extend(stored.items(project));
    found
}

fn known_repositories(
    config: Option<&Config>,
    forges: &[ForgeGuidance],
    is_wanted: &impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    let of_forges = forges.iter().filter(|forge| is_wanted(&forge.project)).map(|forge| &forge.repository);
    let projects = config.iter().flat_map(|config| &config.projects).filter(|known| is_wanted(&known.id));
    projects.flat_map(|project| &project.repositories).chain(of_forges).cloned().collect()
}

fn is_of_forge(item: &GuidanceItem) -> bool {
    matches!(item.source, GuidanceSource::Forge { .. })
}

fn add_forge(to: &mut GuidanceFound, ForgeGuidance { project, repository, file }: &ForgeGuidance) {
    let StoredFile { branch, text } = file;
    match parse(&format!("{PATH} of {repository}"), text) {
        Ok(guidance) => to.items.extend(of_forge(project, repository, branch, &guidance)),
        Err(errors) => to.warnings.extend(errors.lines()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, ProjectConfig};
    use crate::model::guidance::in_force;
    use crate::model::time::Millis;
    use std::fs;

    fn project() -> ProjectConfig {
        let (id, name) = (String::new(), String::new());
        let (owner, criticality, value, epic) = (None, None, None, None);
        let (include, repositories, contexts) = (Vec::new(), Vec::new(), Vec::new());
        ProjectConfig { id, name, owner, criticality, value, epic, include, repositories, contexts }
    }

    #[test]
    fn what_a_repository_says_is_about_the_project_that_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let git = std::process::Command::new("git").arg("-C").arg(dir.path()).args(["init", "-q"]).status().unwrap();
        assert!(git.success());
        fs::create_dir(dir.path().join(".contextcore")).unwrap();
        fs::write(dir.path().join(PATH), "constraints: [{id: api, rule: Keep it}]").unwrap();
        let about = |project: Option<&str>| {
            let repository = Repository::around(dir.path());
            guidance(None, repository.as_ref(), (&AllGuidance::default(), &[]), project).items.len()
        };
        assert_eq!((about(Some("shop")), about(Some("blog")), about(None)), (1, 1, 1), "it names none");
        fs::write(dir.path().join(".contextcore/project"), "shop\n").unwrap();
        assert_eq!((about(Some("Shop")), about(Some("blog")), about(None)), (1, 0, 1));
    }

    #[test]
    fn a_file_of_a_forge_is_about_the_paths_of_its_repository_alone() {
        let dir = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            assert!(
                std::process::Command::new("git").arg("-C").arg(dir.path()).args(arguments).status().unwrap().success()
            );
        };
        git(&["init", "-q"]);
        let text = "constraints: [{id: api, rule: Keep it}]";
        let file = |repository: &str| ForgeGuidance {
            project: "shop".into(),
            repository: repository.into(),
            file: StoredFile { branch: "main".into(), text: text.into() },
        };
        let mut config = config::parse("sources: []", "x.yaml", &[]).unwrap();
        let repositories = ["acme/api", "acme/web"].map(str::to_owned).to_vec();
        config.projects.push(ProjectConfig { id: "shop".into(), repositories, ..project() });
        let found = |meant: Option<&str>| {
            let repository = Repository::around(dir.path());
            let all = (&AllGuidance::default(), &[file("acme/web")][..]);
            let found = guidance(Some(&config), repository.as_ref(), all, Some("shop"));
            let here = meant.map_or(Ok(found.repositories.clone()), |name| found.repositories.clone().meaning(name));
            let here = here.map_err(|error| error.full())?;
            Ok::<_, String>(
                found.items.into_iter().filter(|item| here.holds(item)).map(|item| item.id).collect::<Vec<_>>(),
            )
        };
        let of_web = Ok(vec!["forge:acme/web/api".to_owned()]);
        assert_eq!(found(None), of_web, "nobody knows where this is");
        git(&["remote", "add", "origin", "git@github.com:ada/web.git"]);
        assert_eq!(found(None), of_web, "a fork of whatever");
        git(&["remote", "set-url", "origin", "https://github.com/Acme/API"]);
        assert_eq!(found(None), Ok(vec![]));
        fs::create_dir(dir.path().join(".contextcore")).unwrap();
        fs::write(dir.path().join(PATH), text).unwrap();
        assert_eq!(found(None), Ok(vec!["checkout:api".to_owned()]), "the same words of another repository");
        assert_eq!(found(Some("acme/web")), of_web);
        assert_eq!(found(Some("acme/API")), Ok(vec!["checkout:api".to_owned()]));
        assert!(found(Some("acme/wbe")).unwrap_err().contains("did you mean `acme/web`?"));
        git(&["remote", "add", "upstream", "https://github.com/acme/web.git"]);
        assert_eq!(found(None), of_web);
    }

    #[test]
    fn a_file_of_a_forge_binds_for_the_project_of_its_repository_where_its_branch_is_trusted() {
        let text = "constraints: [{id: api, rule: Keep it}]";
        let file = |repository: &str, project: &str| ForgeGuidance {
            project: project.into(),
            repository: repository.into(),
            file: StoredFile { branch: "main".into(), text: text.into() },
        };
        let forges = [file("acme/shop", "shop"), file("acme/blog", "blog")];
        let found = guidance(None, None, (&AllGuidance::default(), &forges), Some("shop"));
        let items = in_force(found.items, Millis(0));
        let all: Vec<String> =
            items.iter().map(|item| format!("{} {} {}", item.id, item.severity, item.source)).collect();
        assert_eq!(all, ["forge:acme/shop/api blocking .contextcore/guidance.yaml of acme/shop at main"]);
        let broken = ForgeGuidance {
            file: StoredFile { branch: "main".into(), text: "x: 1".into() },
            ..file("acme/shop", "shop")
        };
        let found = guidance(None, None, (&AllGuidance::default(), &[broken]), None);
        assert!(found.items.is_empty() && found.warnings[0].contains("of acme/shop"), "{:?}", found.warnings);
        for (refs, trusted) in
            [("", true), ("main", true), ("origin/main", true), ("refs/heads/main", true), ("release", false)]
        {
            let refs: Vec<String> = refs.split_whitespace().map(str::to_owned).collect();
            assert_eq!(is_trusted(&refs, "main"), trusted, "{refs:?}");
        }
        let mut config = config::parse("sources: []", "x.yaml", &[]).unwrap();
        // As a projects file says it.
        config.projects.push(ProjectConfig { id: "shop".into(), repositories: vec!["Acme/Shop".into()], ..project() });
        let store = crate::store::Store::over(std::sync::Arc::new(crate::store::MemoryKv::default())).unwrap();
        let viewer = Viewer::new(&store, &config, Millis(0));
        assert_eq!(viewer.projects_of_repository("gh", "acme/shop"), ["shop"]);
        assert_eq!(viewer.projects_of_repository("gh", "acme/blog"), ["acme/blog"]);
        // Whoever comes first takes nothing from another project.
        config
            .projects
            .insert(0, ProjectConfig { id: "a".into(), repositories: vec!["acme/shop".into()], ..project() });
        let viewer = Viewer::new(&store, &config, Millis(0));
        assert_eq!(viewer.projects_of_repository("gh", "acme/shop"), ["a", "shop"]);
    }
}
