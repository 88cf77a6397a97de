// SPDX-License-Identifier: MIT
//! Tables of the fields of Kubernetes objects, with the treatment of each field. Pure.

/// The treatment of a field by the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The field is converted, or its parts are handled elsewhere.
    Done,
    /// Each field of this mapping has its own entry in the table.
    Into,
    /// The field has no effect on a single machine; the text says why.
    Without(&'static str),
    /// The field has no counterpart; the text says what to do instead.
    Lost(&'static str),
}

use Account::{Done, Into, Lost, Without};

const ONE_MACHINE: Account = Without("this chooses among machines, and there is one");
const ROLLOUT: Account = Without("a change is applied by sdme-gen restart --changed, not replica by replica");
const LATER_STATE: Account = Without("the state of a cluster is not converted");

/// The fields of a pod. A field that is not in this table has no counterpart.
pub const POD: [(&str, Account); 35] = [
    (
        "activeDeadlineSeconds",
        Lost("a pod here has no such limit; write RuntimeMaxSec= in [Service] of its containers"),
    ),
    ("affinity", ONE_MACHINE),
    ("automountServiceAccountToken", Without("there is no API server to speak to")),
    ("containers", Done),
    ("dnsConfig", Done),
    ("dnsPolicy", Done),
    ("enableServiceLinks", Without("services are found by their names; no variables are made for them")),
    ("hostAliases", Done),
    ("hostIPC", Lost("a container has its own IPC namespace")),
    ("hostNetwork", Done),
    (
        "hostPID",
        Lost("a container has its own process IDs; write a unit of the host for a program that needs all of them"),
    ),
    ("hostUsers", Done),
    ("hostname", Done),
    ("imagePullSecrets", Lost("write an .image file with AuthFile= for the images that need it")),
    ("initContainers", Done),
    ("nodeName", ONE_MACHINE),
    ("nodeSelector", ONE_MACHINE),
    ("os", Without("it is Linux")),
    ("overhead", ONE_MACHINE),
    ("preemptionPolicy", ONE_MACHINE),
    ("priority", ONE_MACHINE),
    ("priorityClassName", ONE_MACHINE),
    ("resources", Lost("write the limits at the containers")),
    ("restartPolicy", Done),
    ("runtimeClassName", Lost("the runtime is systemd-nspawn")),
    ("schedulerName", ONE_MACHINE),
    ("securityContext", Done),
    ("serviceAccount", Without("there is no API server to speak to")),
    ("serviceAccountName", Without("there is no API server to speak to")),
    ("shareProcessNamespace", Lost("each container has its own process IDs")),
    ("subdomain", Done),
    ("terminationGracePeriodSeconds", Done),
    ("tolerations", ONE_MACHINE),
    ("topologySpreadConstraints", ONE_MACHINE),
    ("volumes", Done),
];

/// The fields of a container.
pub const CONTAINER: [(&str, Account); 24] = [
    ("args", Done),
    ("command", Done),
    ("env", Done),
    ("envFrom", Done),
    ("image", Done),
    ("imagePullPolicy", Done),
    ("lifecycle", Done),
    ("livenessProbe", Done),
    ("name", Done),
    ("ports", Done),
    ("readinessProbe", Done),
    ("resizePolicy", Without("limits are changed with systemctl set-property, without a restart")),
    ("resources", Done),
    ("restartPolicy", Done),
    ("securityContext", Done),
    ("startupProbe", Done),
    ("stdin", Lost("standard input is empty; run sdme-gen exec for a command with input")),
    ("stdinOnce", Without("standard input is empty")),
    ("terminationMessagePath", Without("messages go to the journal")),
    ("terminationMessagePolicy", Without("messages go to the journal")),
    ("tty", Lost("an application has no terminal; run sdme-gen exec for a command with one")),
    ("volumeDevices", Lost("write AddDevice= with the device of the host")),
    ("volumeMounts", Done),
    ("workingDir", Done),
];

/// The fields of objects by kind. Nested fields are separated by a dot.
pub const OBJECTS: [(&str, &[(&str, Account)]); 11] = [
    ("Pod", &[("spec", Done), ("status", LATER_STATE)]),
    (
        "Deployment",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.paused", ROLLOUT),
            ("spec.progressDeadlineSeconds", ROLLOUT),
            ("spec.replicas", Done),
            ("spec.revisionHistoryLimit", ROLLOUT),
            ("spec.selector", Done),
            ("spec.strategy", ROLLOUT),
            ("spec.template", Done),
            ("status", LATER_STATE),
        ],
    ),
    (
        "ReplicaSet",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.replicas", Done),
            ("spec.selector", Done),
            ("spec.template", Done),
            ("status", LATER_STATE),
        ],
    ),
    (
        "StatefulSet",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.ordinals", Done),
            (
                "spec.persistentVolumeClaimRetentionPolicy",
                Without("volumes stay until sdme-gen volume rm removes them"),
            ),
            ("spec.podManagementPolicy", Without("replicas start side by side")),
            ("spec.replicas", Done),
            ("spec.revisionHistoryLimit", ROLLOUT),
            ("spec.selector", Done),
            ("spec.serviceName", Done),
            ("spec.template", Done),
            ("spec.updateStrategy", ROLLOUT),
            ("spec.volumeClaimTemplates", Done),
            ("status", LATER_STATE),
        ],
    ),
    (
        "DaemonSet",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.revisionHistoryLimit", ROLLOUT),
            ("spec.selector", Done),
            ("spec.template", Done),
            ("spec.updateStrategy", ROLLOUT),
            ("status", LATER_STATE),
        ],
    ),
    ("Job", &[("spec", Done), ("status", LATER_STATE)]),
    (
        "CronJob",
        &[
            ("spec", Into),
            ("spec.concurrencyPolicy", Done),
            ("spec.failedJobsHistoryLimit", Without("messages of former runs are in the journal")),
            ("spec.jobTemplate", Done),
            ("spec.schedule", Done),
            ("spec.startingDeadlineSeconds", Done),
            ("spec.successfulJobsHistoryLimit", Without("messages of former runs are in the journal")),
            ("spec.suspend", Done),
            ("spec.timeZone", Done),
            ("status", LATER_STATE),
        ],
    ),
    ("Service", &[("spec", Done), ("status", LATER_STATE)]),
    (
        "ConfigMap",
        &[("data", Done), ("binaryData", Done), ("immutable", Without("a file is changed by whoever may write it"))],
    ),
    (
        "Secret",
        &[
            ("data", Done),
            ("stringData", Done),
            ("immutable", Without("a file is changed by whoever may write it")),
            ("type", Without("a credential has no type")),
        ],
    ),
    (
        "PersistentVolumeClaim",
        &[
            ("spec", Into),
            ("spec.accessModes", Without("every container of the machine can use a volume")),
            (
                "spec.resources",
                Without("a volume takes as much as there is; write Device= in the .volume file for a limit"),
            ),
            (
                "spec.storageClassName",
                Without("a volume is a directory; write Device= in the .volume file for another place"),
            ),
            ("spec.volumeMode", Done),
            (
                "spec.volumeName",
                Without("a volume is a directory; write Device= in the .volume file for another place"),
            ),
            ("spec.volumeAttributesClassName", Without("a volume is a directory")),
            ("status", LATER_STATE),
        ],
    ),
];

/// The fields of a job.
pub const JOB: [(&str, Account); 17] = [
    ("activeDeadlineSeconds", Done),
    ("backoffLimit", Done),
    ("backoffLimitPerIndex", Lost("a job runs once; write a template and an instance for each index")),
    ("completionMode", Done),
    ("completions", Done),
    ("managedBy", Without("systemd runs the job")),
    ("manualSelector", Without("there is no controller that selects pods")),
    ("maxFailedIndexes", Lost("a job runs once; write a template and an instance for each index")),
    ("parallelism", Done),
    ("podFailurePolicy", Lost("write SuccessExitStatus= or RestartPreventExitStatus= in [Service]")),
    ("podReplacementPolicy", Without("a job runs again when its former run has ended")),
    ("selector", Without("there is no controller that selects pods")),
    ("successPolicy", Lost("a job runs once; write SuccessExitStatus= in [Service]")),
    ("suspend", Done),
    ("template", Done),
    ("ttlSecondsAfterFinished", Without("nothing of a job that has ended takes room")),
    ("status", LATER_STATE),
];

/// The fields of `metadata` that are converted or listed.
pub const METADATA: [(&str, Account); 6] = [
    ("annotations", Done),
    ("finalizers", Without("a file is removed by whoever may write it")),
    ("labels", Done),
    ("name", Done),
    ("namespace", Done),
    ("ownerReferences", Without("a file has no owner")),
];

/// The fields of parts of a pod, by the end of the part's path without indices.
pub const PARTS: [(&str, &[&str]); 19] = [
    ("volumes.emptyDir", &["medium", "sizeLimit", "mode"]),
    ("volumes.hostPath", &["path", "type"]),
    ("volumes.nfs", &["path", "readOnly", "server"]),
    ("volumes.persistentVolumeClaim", &["claimName", "readOnly"]),
    ("configMap", &["defaultMode", "items", "name", "optional"]),
    ("volumes.secret", &["defaultMode", "items", "optional", "secretName"]),
    ("sources.secret", &["items", "name", "optional"]),
    ("configMap.items", &["key", "mode", "path"]),
    ("secret.items", &["key", "mode", "path"]),
    ("downwardAPI", &["defaultMode", "items"]),
    ("downwardAPI.items", &["fieldRef", "mode", "path", "resourceFieldRef"]),
    ("volumes.projected", &["defaultMode", "sources"]),
    ("env", &["name", "value", "valueFrom"]),
    ("envFrom", &["configMapRef", "prefix", "secretRef"]),
    ("ports", &["containerPort", "hostIP", "hostPort", "name", "protocol"]),
    ("livenessProbe", &PROBE),
    ("readinessProbe", &PROBE),
    ("startupProbe", &PROBE),
    ("dnsConfig", &["nameservers", "options", "searches"]),
];

const PROBE: [&str; 10] = [
    "exec",
    "failureThreshold",
    "grpc",
    "httpGet",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "tcpSocket",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
];
