//! Every open project that the credential can see, for a source whose configuration names none.

use std::collections::BTreeSet;

use contextcore_core::Result;
use serde::Deserialize;

use super::answer::Answer;
use super::api::{ALL_TRIES, Api};
use super::connection::Rows;
use super::queries;
use super::settings::ProjectName;

#[derive(Debug, Deserialize)]
struct Numbered {
    number: u32,
    #[serde(default)]
    closed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    login: String,
    #[serde(default)]
    projects_v2: Rows<Numbered>,
    #[serde(default)]
    organizations: Rows<Owner>,
}

impl Owner {
    fn open(&self) -> impl Iterator<Item = ProjectName> {
        let open = self.projects_v2.iter().filter(|project| !project.closed);
        open.map(|project| ProjectName { owner: self.login.clone(), number: project.number })
    }
}

impl Api {
    /// Every open project of the viewer and of their organisations, to the end of every list.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn visible_projects(&self) -> Result<Vec<ProjectName>> {
        #[derive(Deserialize)]
        struct Found {
            viewer: Option<Owner>,
        }
        let mut names = BTreeSet::new();
        let (mut projects, mut organizations): (Option<Box<str>>, Option<Box<str>>) = (None, None);
        loop {
            let text = |cursor: &Option<Box<str>>| cursor.as_deref().map(str::to_owned);
            let variables = queries::VisibleProjects { projects: text(&projects), organizations: text(&organizations) };
            let answer: Answer<Found> = self.ask(&variables, ALL_TRIES).await?;
            let Some(viewer) = answer.data.viewer else {
                return Err(answer.errors.into_iter().next().unwrap_or_default().into_error());
            };
            names.extend(viewer.open());
            for owner in viewer.organizations.iter() {
                names.extend(owner.open());
                names.extend(self.more_projects(owner).await?);
            }
            let last = viewer.projects_v2.page_info.step(&mut projects, "projects")?;
            if viewer.organizations.page_info.step(&mut organizations, "organisations")? && last {
                return Ok(names.into_iter().collect());
            }
        }
    }

    /// The projects of an organisation beyond the first page.
    async fn more_projects(&self, owner: &Owner) -> Result<Vec<ProjectName>> {
        #[derive(Deserialize)]
        struct Found {
            organization: Option<Owner>,
        }
        let (mut names, mut after) = (Vec::new(), None);
        let mut last = owner.projects_v2.page_info.step(&mut after, &owner.login)?;
        while !last {
            let variables =
                queries::OwnerProjects { login: owner.login.clone(), after: after.as_deref().map(str::to_owned) };
            let answer: Answer<Found> = self.ask(&variables, ALL_TRIES).await?;
            let Some(page) = answer.data.organization else {
                return Err(answer.errors.into_iter().next().unwrap_or_default().into_error());
            };
            names.extend(page.open());
            last = page.projects_v2.page_info.step(&mut after, &owner.login)?;
        }
        Ok(names)
    }
}
