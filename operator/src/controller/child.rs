//! An object of ours as a watch shows it: metadata only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::derive::{HASH_ANNOTATION, INSTANCE, MANAGER};

/// An object of ours as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) instance: Option<String>,
    pub(crate) hash: Option<String>,
    /// UIDs of its owners.
    pub(crate) owners: Vec<String>,
    /// Digest of who owns which field. It changes with every change by somebody else.
    pub(crate) fields: String,
    /// Somebody else wrote to it, besides its status.
    pub(crate) is_shared: bool,
}

impl Child {
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        let labels = metadata.labels.as_ref();
        let managers = metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
        let mut digest = blake3::Hasher::new();
        let mut is_shared = false;
        for entry in managers {
            digest.update(serde_json::to_string(entry).unwrap_or_default().as_bytes());
            is_shared |= entry.manager.as_deref() != Some(MANAGER);
        }
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: metadata.resource_version.clone().unwrap_or_default(),
            instance: labels.and_then(|labels| labels.get(INSTANCE)).cloned(),
            hash: metadata.annotations.as_ref().and_then(|all| all.get(HASH_ANNOTATION)).cloned(),
            owners: metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect(),
            fields: digest.finalize().to_hex().as_str()[..16].to_owned(),
            is_shared,
        }
    }
}
