//! Reference data: the account, the server, the tables of statuses and types, projects, permissions.

use super::auth::Caller;
use super::render::{LINK_TYPES, Page};
use super::{Site, json, refuse};
use crate::message::{Call, Reply};
use crate::world::{Project, UserId, Visibility};

/// Most projects on a page.
const MAX_PROJECTS: usize = 100;
const DEFAULT_PROJECTS: usize = 50;

impl Site {
    pub(super) fn myself(&self, call: &Call, caller: Caller) -> Reply {
        if caller != Caller::Known {
            return self.denied();
        }
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        Reply::json(200, page.user(UserId(0)).to_owned())
    }

    pub(super) fn server_info(&self, call: &Call) -> Reply {
        let cloud = self.is_cloud();
        let body = json::object(|json| {
            json.name("baseUrl").text(&call.base);
            json.name("version").text(if cloud { "1001.0.0-SNAPSHOT" } else { "9.12.15" });
            json.name("versionNumbers").raw(if cloud { "[1001,0,0]" } else { "[9,12,15]" });
            json.name("deploymentType").text(if cloud { "Cloud" } else { "Server" });
            json.name("buildNumber").plain(if cloud { 100_289 } else { 9_120_015 });
            json.name("buildDate").text("2026-01-12T09:00:00.000+0000");
            json.name("serverTime").text(&self.time(self.now()));
            json.name("scmInfo").text("2f1c0d9e8b7a6543210fedcba9876543210fedcb");
            json.name("serverTitle").text("Jira");
            if cloud {
                json.name("defaultLocale").raw(r#"{"locale":"en_US"}"#);
            }
        });
        Reply::json(200, body)
    }

    /// A bare array of all rows of a table.
    pub(super) fn table(&self, call: &Call, name: &str) -> Reply {
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let rows = match name {
            "status" => page.statuses().to_vec(),
            "issuetype" => page.types(),
            "priority" => page.priorities().to_vec(),
            _ => page.resolutions().to_vec(),
        };
        Reply::json(200, json::array(|json| rows.iter().for_each(|row| json.raw(row))))
    }

    pub(super) fn link_types(&self, call: &Call) -> Reply {
        if !self.options.linking {
            return refuse(404, "Issue linking is currently disabled.");
        }
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let body = json::object(|json| {
            json.name("issueLinkTypes").array(|json| {
                LINK_TYPES.iter().for_each(|kind| json.object(|json| page.link_type(kind, json)));
            });
        });
        Reply::json(200, body)
    }

    /// Whether the account may browse, overall or in one project.
    pub(super) fn my_permissions(&self, call: &Call, caller: Caller) -> Reply {
        let asked = call.param("permissions").filter(|asked| !asked.is_empty());
        // Data Center lists all permissions, whatever was asked for.
        let Some(asked) = asked.or((!self.is_cloud()).then_some("BROWSE_PROJECTS")) else {
            return refuse(400, "The 'permissions' query parameter is required.");
        };
        let world = self.world();
        let named = call.param("projectId").or_else(|| call.param("projectKey"));
        let shown = |project: &&Project| project.visibility != Visibility::Hidden;
        if let Some(name) = named {
            let fits = |project: &&Project| project.key == name || project.id.to_string() == name;
            if !world.projects.iter().filter(shown).any(|project| fits(&project)) {
                return refuse(404, &format!("No project could be found with key '{name}'."));
            }
        }
        let have = caller == Caller::Known && world.projects.iter().any(|project| shown(&project));
        let body = json::object(|json| {
            json.name("permissions").object(|json| {
                for (key, id) in asked.split(',').zip(10..) {
                    json.name(key).object(|json| {
                        json.name("id").shown(id);
                        json.name("key").text(key);
                        json.name("name").text(&key.replace('_', " ").to_lowercase());
                        json.name("type").text("PROJECT");
                        json.name("description").text("");
                        json.name("havePermission").plain(have);
                    });
                }
            });
        });
        Reply::json(200, body)
    }

    /// `GET /rest/api/3/project/search`.
    pub(super) fn project_search(&self, call: &Call, caller: Caller) -> Reply {
        let number = |name| call.param(name).and_then(|text| text.parse::<usize>().ok());
        let start = number("startAt").unwrap_or(0);
        let size = number("maxResults").unwrap_or(DEFAULT_PROJECTS).clamp(1, MAX_PROJECTS);
        let wanted = call.param("status").unwrap_or("live");
        let keys: Vec<_> = call.query.iter().filter(|(name, _)| name == "keys").map(|(_, key)| key.as_str()).collect();
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let fits = |project: &&Project| {
            let listed = match project.visibility {
                Visibility::Open => wanted.contains("live"),
                Visibility::Archived => wanted.contains("archived"),
                Visibility::Hidden => false,
            };
            caller == Caller::Known && listed && (keys.is_empty() || keys.contains(&project.key.as_str()))
        };
        let found: Vec<_> = world.projects.iter().filter(fits).collect();
        let address =
            |start: usize| format!("{}/rest/api/3/project/search?maxResults={size}&startAt={start}", call.base);
        let body = json::object(|json| {
            json.name("self").text(&address(start));
            if start + size < found.len() {
                json.name("nextPage").text(&address(start + size));
            }
            json.name("maxResults").plain(size);
            json.name("startAt").plain(start);
            json.name("total").plain(found.len());
            json.name("isLast").plain(start + size >= found.len());
            json.name("values").array(|json| {
                found.iter().skip(start).take(size).for_each(|project| page.listed_project(project, json));
            });
        });
        Reply::json(200, body)
    }

    /// `GET /rest/api/2/project` of Data Center: a bare array.
    pub(super) fn projects(&self, call: &Call, caller: Caller) -> Reply {
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let open = |project: &&Project| caller == Caller::Known && project.visibility == Visibility::Open;
        let body = json::array(|json| {
            world.projects.iter().filter(open).for_each(|project| page.listed_project(project, json));
        });
        Reply::json(200, body)
    }
}

impl Page<'_> {
    fn listed_project(&self, project: &Project, json: &mut json::Json) {
        json.object(|json| {
            json.name("expand").text("description,lead,issueTypes,url,projectKeys,permissions,insight");
            json.name("self").text(&self.resource("project", project.id));
            json.name("id").shown(project.id);
            json.name("key").text(&project.key);
            json.name("name").text(&project.name);
            json.name("avatarUrls").object(|json| self.avatars(json));
            json.name("projectTypeKey").text("software");
            json.name("simplified").plain(false);
            json.name("style").text("classic");
            json.name("isPrivate").plain(false);
            if project.visibility == Visibility::Archived {
                json.name("archived").plain(true);
            }
            json.name("properties").object(|_| {});
        });
    }
}
